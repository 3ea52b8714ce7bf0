"""The documents without a browser: what is escaped, bounded and left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest

from fsspec_store.dataset import Report
from fsspec_store.dataset.findings import Findings
from fsspec_store.errors import BackendError
from fsspec_store.reports import check_page, failed_page, transfer_page
from fsspec_store.transfer import Failure, Operation, Result
from reports.samples import (
    HOSTILE_URL,
    array_report,
    hostile_report,
    hostile_result,
    report_of,
)

_VOID = {"link", "meta"}


class Balance(HTMLParser):
    """Checks that each element ends, and collects the texts and the tags."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        assert not any(name.startswith("on") or name in ("src", "style") for name in names)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & {*self.open}:
            self.text += data


DOCUMENTS = {
    "check": lambda: check_page(
        report_of(array_report("a", (2, 3), [1]), array_report("b", (0, 3)))
    ),
    "no array": lambda: check_page(Report("", 2, 0, (), (), 0, None)),
    "hostile check": lambda: check_page(hostile_report(), url=HOSTILE_URL, command=HOSTILE_URL),
    "hostile transfer": lambda: transfer_page(
        hostile_result(), title=HOSTILE_URL, source=HOSTILE_URL
    ),
    "nothing": lambda: transfer_page(Result()),
    "failed": lambda: failed_page(HOSTILE_URL, title=HOSTILE_URL, urls={"URL": HOSTILE_URL}),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_well_formed(name: str) -> None:
    document = DOCUMENTS[name]()
    found = Balance(document)
    assert found.tags.count("h1") == 1
    assert len(set(found.ids)) == len(found.ids)
    assert "http-equiv" in document
    # Nothing but line ends: no control character, and none that reorders the text.
    assert document.replace("\n", "").isprintable()


def test_what_a_page_states() -> None:
    date = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=2)))
    report = report_of(array_report("air", (4,), [1], [2]))
    text = Balance(
        check_page(report, url="s3://bucket/x", command="repeat it", seconds=61.25, date=date)
    ).text
    for part in ("Check of s3://bucket/x", "2026-05-04 01:02:01 UTC", "61.2 s", "repeat it"):
        assert part in text
    assert "3 of 4 chunks present, 1 missing, 1 broken" in text
    assert "missing chunk in air: 1" in text


def test_a_transfer_with_failures() -> None:
    result = Result(copied=3, copied_bytes=2048, seconds=2, equal=1, held_back=2, deletes_skipped=5)
    result.add_failure(Failure("air/c/0", "copy", "OSError: gone"))
    result.add_difference(Operation("copy", "air/c/1", "checksum", None, None))
    text = Balance(transfer_page(result, title="Sync to b", source="a", target="b")).text
    for part in (
        "Not complete: 1 failed, 1 differ",
        "1.0KiB/s",
        "copy air/c/0 OSError: gone",
        "2 metadata keys not copied, because keys below failed",
        "5 keys not deleted, because copies failed",
        "air/c/1 checksum",
    ):
        assert part in text
    assert "Done" in Balance(transfer_page(Result(copied=1))).text
    result = Result(copied=1, not_tried=4, stopped_by=BackendError("gone"))
    result.add_failure(Failure("air/c/0", "copy", "OSError: gone"))
    text = Balance(transfer_page(result)).text
    assert "Not complete: 1 failed, 4 not tried" in text
    assert text.index("The transfer stopped: gone") < text.index("Failures")
    result = Result()
    result.add_difference(Operation("copy", "air/c/1", "checksum", None, None))
    assert "Not equal: 1 differ" in Balance(transfer_page(result)).text


def test_lists_are_bounded() -> None:
    result = Result()
    for number in range(700):
        result.add_failure(Failure(f"c/{number}", "copy", "x" * 5000))
    document = transfer_page(result)
    assert len(document) < 2_000_000
    assert "c/499<" in document
    assert "c/500<" not in document
    assert "and 200 more keys failed" in document
    findings = Findings()
    for number in range(600):
        findings.add("no_metadata", f"lost/{number:03}", f"lost/{number:03}")
    document = check_page(Report("", 3, 1, (), findings.sorted(), 600, 0))
    assert "and 100 more kinds of findings" in document


def test_many_arrays_stay_below_the_bound() -> None:
    """Those with findings come first, and maps end when the page is full."""
    lost = [array_report(f"lost{number:03}", (60, 64), range(0, 3840, 3)) for number in range(100)]
    fine = [array_report(f"fine{number:03}", (60, 64)) for number in range(500)]
    document = check_page(report_of(*fine, *lost))
    assert len(document) < 5_000_000
    assert "The page has no space for this map." in document
    assert "and 100 more arrays" in document
    paths = re.findall(r"<h3><code>(\w+)</code>", document)
    assert paths[:100] == [array.path for array in lost]
    assert len(paths) == 500


def test_long_keys_stay_below_the_bound() -> None:
    """Keys have a thousand characters of three bytes each."""
    findings = Findings()
    paths = [f"{number:03}" + "\u6c17" * 1000 for number in range(500)]
    for path in paths:
        for number in range(10):
            findings.add("chunk_size", path, f"{path}/c/{number}", "\u6c17" * 1000)
    arrays = tuple(array_report(path, (10,)) for path in paths)
    document = check_page(Report("", 3, 1, arrays, findings.sorted(), 0, 0))
    assert len(document.encode()) < 5_000_000
    assert "The page has no space for these findings." in document


def test_dates_are_now_by_default() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    [text] = re.findall(r"<dt>Date</dt><dd>([^<]*) UTC", check_page(report_of()))
    assert before <= datetime.fromisoformat(f"{text}+00:00") <= datetime.now(UTC)
