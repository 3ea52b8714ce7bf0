"""The result of a check as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .._core.text import printable
from .check_page import finding_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..dataset import Finding, Report

__all__ = ["failed_junit", "junit"]

#: Characters of the text of one failure.
_MAX_TEXT = 10_000


def junit(
    report: Report, *, url: str = "", seconds: float = 0.0, date: datetime | None = None
) -> str:
    """The result of a check as JUnit XML.

    The data set is a test suite, and each array a test, which fails with all errors of the array.
    A group with errors is a failed test too.

    Parameters
    ----------
    report : Report
        The result of `fsspec_store.dataset.check`.
    url : str, optional
        URL of the data set, without secrets.
    seconds : float, optional
        Duration of the check.
    date : datetime, optional
        When the check ended; by default now.

    Returns
    -------
    str
        The document.
    """
    found: dict[str, list[Finding]] = {array.path: [] for array in report.arrays}
    for finding in report.findings:
        found.setdefault(finding.path, []).append(finding)
    suite, document = _suite(url, seconds, date)
    failures = 0
    for path in sorted(found):
        case = _case(suite, url, path or "/")
        errors = [finding for finding in found[path] if finding.severity == "error"]
        if errors:
            failures += 1
            message = "; ".join(map(finding_title, errors))
            kind = errors[0].kind
            failure = ElementTree.SubElement(case, "failure", message=_text(message), type=kind)
            failure.text = _lines(errors)
        warnings = [finding for finding in found[path] if finding.severity == "warning"]
        if warnings:
            ElementTree.SubElement(case, "system-out").text = _lines(warnings)
    return _counted(document, tests=len(found), failures=failures, errors=0)


def failed_junit(message: str, *, url: str = "", date: datetime | None = None) -> str:
    """A document for a check that was not possible.

    Parameters
    ----------
    message : str
        Why, without secrets.
    url : str, optional
        URL of the data set, without secrets.
    date : datetime, optional
        When it ended; by default now.

    Returns
    -------
    str
        The document.
    """
    suite, document = _suite(url, 0.0, date)
    case = _case(suite, url, "/")
    ElementTree.SubElement(case, "error", message=_text(message), type="error")
    return _counted(document, tests=1, failures=0, errors=1)


def _suite(
    url: str, seconds: float, date: datetime | None
) -> tuple[ElementTree.Element, ElementTree.Element]:
    document = ElementTree.Element("testsuites", name="fsspec-store check")
    suite = ElementTree.SubElement(
        document,
        "testsuite",
        name=_text(url or "data set"),
        timestamp=f"{(date or datetime.now(UTC)).astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        time=f"{seconds:.3f}",
    )
    return suite, document


def _case(suite: ElementTree.Element, url: str, path: str) -> ElementTree.Element:
    name, suite_name = _text(path), _text(url or "data set")
    return ElementTree.SubElement(suite, "testcase", name=name, classname=suite_name, time="0")


def _counted(document: ElementTree.Element, **counts: int) -> str:
    """The document with the numbers of its tests at both levels."""
    for element in (document, document[0]):
        for name, count in {**counts, "skipped": 0}.items():
            element.set(name, str(count))
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _lines(findings: Sequence[Finding]) -> str:
    lines: list[str] = []
    for finding in findings:
        lines.append(finding_title(finding))
        lines += [f"  {key} {reason}".rstrip() for key, reason in finding.examples]
        rest = finding.count - len(finding.examples)
        if rest:
            lines.append(f"  and {rest:,} more keys")
    return _text("\n".join(map(printable, lines)))


def _text(text: str) -> str:
    r"""The text, bounded, with escapes in place of all but printable characters and ``\n``.

    XML has no control characters, not as references either.
    """
    shown = "\n".join(map(printable, text.split("\n")))
    return shown if len(shown) <= _MAX_TEXT else shown[:_MAX_TEXT] + "…"
