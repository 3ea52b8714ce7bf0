"""JUnit XML as CI systems require it.

The rules are those of the schema that Jenkins, GitLab and the actions of GitHub read: a test suite
states its numbers, which are those of its tests, and a test has at most one failure or error.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from dataset.places import check, one_array, put

from fsspec_store.dataset import Report
from fsspec_store.dataset.findings import Findings
from fsspec_store.reports import failed_junit, junit
from reports.samples import HOSTILE_PATH, HOSTILE_URL, hostile_report

#: The characters of XML 1.0.
_XML = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def parsed(document: str) -> ElementTree.Element:
    """The test suite of a document that obeys the schema."""
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    assert _XML.fullmatch(document)
    root = ElementTree.fromstring(document.encode())
    assert root.tag == "testsuites"
    [suite] = root
    assert suite.tag == "testsuite"
    assert suite.attrib["name"]
    datetime.strptime(suite.attrib["timestamp"], "%Y-%m-%dT%H:%M:%S")
    assert float(suite.attrib["time"]) >= 0
    cases = list(suite)
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(cases)
        for name, tag in kinds.items():
            assert int(element.attrib[name]) == sum(case.find(tag) is not None for case in cases)
    for case in cases:
        assert case.tag == "testcase"
        assert {"name", "classname", "time"} == set(case.attrib)
        assert all(case.attrib.values())
        tags = [child.tag for child in case]
        assert tags in ([], ["failure"], ["error"], ["system-out"], ["failure", "system-out"])
        for child in case:
            if child.tag in ("failure", "error"):
                assert child.attrib["message"]
                assert child.attrib["type"]
    names = [case.attrib["name"] for case in cases]
    assert len(set(names)) == len(names)
    return suite


def test_each_array_is_a_test() -> None:
    store = one_array()
    date = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    suite = parsed(junit(check(store), url="s3://bucket/x", seconds=1.5, date=date))
    assert suite.attrib["name"] == "s3://bucket/x"
    assert (suite.attrib["timestamp"], suite.attrib["time"]) == ("2026-05-04T03:02:01", "1.500")
    [case] = suite
    assert case.attrib == {"name": "a", "classname": "s3://bucket/x", "time": "0"}


def test_findings_are_failures_and_warnings_are_not() -> None:
    store = one_array()
    store.sync.delete("a/c/0/1")
    put(store, "a/c/1/1", b"x")
    put(store, "README.md", b"")
    suite = parsed(junit(check(store)))
    assert {case.attrib["name"]: [child.tag for child in case] for case in suite} == {
        "/": ["system-out"],
        "a": ["failure"],
    }
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "chunk size in a: 1; missing chunk in a: 1"
    assert failure.text == (
        "chunk size in a: 1\n  a/c/1/1 1 bytes, 32 expected\nmissing chunk in a: 1\n  a/c/0/1"
    )


def test_hostile_texts_are_escaped() -> None:
    suite = parsed(junit(hostile_report(), url=HOSTILE_URL))
    assert suite.attrib["name"] == HOSTILE_URL
    names = {case.attrib["name"] for case in suite}
    assert HOSTILE_PATH in names
    output = suite.findtext("testcase[@name='/']/system-out")
    assert output is not None
    assert "\\x1b[31m\\nline" in output
    assert "\\u202egnp.exe" in output


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\ud800", "\ufffe", "\uffff", "\x85"])
def test_characters_that_xml_does_not_have(character: str) -> None:
    findings = Findings()
    findings.add("no_metadata", f"a{character}", f"b{character}", f"c{character}")
    report = Report("", 3, 1, (), findings.sorted(), 1, 1)
    [case] = parsed(junit(report, url=f"memory://{character}"))
    escaped = character.encode("unicode_escape").decode() if character != "\ud800" else "\\ud800"
    assert case.attrib["name"] == f"a{escaped}"


def test_texts_are_bounded() -> None:
    findings = Findings()
    for number in range(1000):
        findings.add("missing_chunk", "a", f"a/{number}" + "k" * 1000)
        findings.add("chunk_size", "a", f"a/{number}" + "k" * 1000, "r" * 1000)
    [case] = parsed(junit(Report("", 3, 1, (), findings.sorted(), 1, 1)))
    text = case.findtext("failure")
    assert text is not None
    assert text.startswith("chunk size in a: 1,000\n  a/0")
    assert 9_000 < len(text) < 11_000


def test_a_check_that_fails_is_an_error() -> None:
    suite = parsed(failed_junit("bucket not found\x1b", url="s3://x"))
    error = suite.find("testcase/error")
    assert error is not None
    assert error.attrib["message"] == "bucket not found\\x1b"
