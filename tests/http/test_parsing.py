"""Malformed and very large bodies are errors, found in linear time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from xml.etree import ElementTree

import pytest

from fsspec_store._backends.azure.responses import listing
from fsspec_store._backends.gcs.responses import listing as listing_of_google
from fsspec_store._backends.gcs.responses import object_size
from fsspec_store._backends.object_store.batches import batch_responses
from fsspec_store._backends.s3.xml import parse_list
from fsspec_store._http.messages import Response
from fsspec_store._http.parsing import parse_json, parse_multipart, parse_xml, parsed

MIB = 2**20
NO_SIZES = ["-5", "+5", " 5", "5.0", "1e3", "0x10", "abc", "\u0663", "9" * 30, "0" * 5000]


async def test_large_documents_are_parsed_in_a_thread() -> None:
    async def thread_of(document: bytes) -> threading.Thread:
        return await parsed(lambda _: threading.current_thread(), document)

    assert await thread_of(b"short") is threading.current_thread()
    assert await thread_of(bytes(MIB)) is not threading.current_thread()


async def test_a_large_document_does_not_block_the_event_loop() -> None:
    parsing = asyncio.create_task(parsed(parse_xml, b"<a>" * 700_000 + b"</a>" * 700_000))
    longest = 0.0
    while not parsing.done():
        began = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - began)
    assert (await parsing).tag == "a"
    # The whole document takes longer.
    assert longest < 0.5


@pytest.mark.parametrize(
    "document",
    [
        b"<a>" * 2_000_001,
        b"<a>" * 1_000_000 + b"</a>" * 1_000_001,
        b"<a " + b" ".join(b"a%d='1'" % number for number in range(20_000)) + b"/>",
        b"<a>" + b"x" * 200_000 + b"</a>",
    ],
    ids=["deep", "closed", "attributes", "text"],
)
def test_xml_that_takes_too_much_is_refused(document: bytes) -> None:
    with pytest.raises(ElementTree.ParseError, match=r"\d tags|without a tag"):
        parse_xml(document)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 100_000,
        b'{"size": ' + b"9" * 5000 + b"}",
        b'{"a": "' + b"x" * 16 * MIB + b'"}',
    ],
    ids=["empty", "broken", "list", "number", "bytes", "nested", "digits", "long"],
)
def test_json_that_is_not_an_object_is_an_error(document: bytes) -> None:
    with pytest.raises(OSError, match="JSON"):
        parse_json(document)


def test_an_invalid_multipart_document_is_an_error() -> None:
    with pytest.raises(OSError, match="parsed"):
        parse_multipart("multipart/mixed; boundary=a", bytes(5 * MIB))
    with pytest.raises(OSError, match="more than 1000 parts"):
        parse_multipart("multipart/mixed; boundary=a", b"--a\r\n\r\n" * 5000)
    assert parse_multipart("multipart/mixed", b"--a\r\n\r\nx\r\n--a--") == []


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_parts_of_a_multipart_document(newline: bytes) -> None:
    lines = [b"before", b"--a b", b"Name: \xff", b"no header", b"", b"1", b"--a bc"]
    lines += [b"--a b", b"", b"2"]
    parts = parse_multipart('multipart/mixed; boundary="a b"', newline.join([*lines, b"--a b--"]))
    assert [dict(part.headers) for part in parts] == [{"name": "\xff"}, {}]
    assert [part.body for part in parts] == [newline.join([b"1", b"--a bc"]), b"2"]


@pytest.mark.parametrize(
    "header",
    [
        # Python's email counts the quotes before each semicolon.
        b'Content-Type: multipart/mixed; a="' + b";" * 400_000,
        b"".join(
            b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (number, number)
            for number in range(5000)
        ),
    ],
    ids=["quotes", "nested"],
)
def test_a_part_is_parsed_in_linear_time(header: bytes) -> None:
    part = b"--b\r\nContent-ID: <response-0>\r\n\r\nHTTP/1.1 500 X\r\n" + header + b"\r\n--b--"
    answer = Response(200, {"Content-Type": "multipart/mixed; boundary=b"}, part)
    assert batch_responses(answer)[0].status == 500


def test_a_token_too_long_for_a_url_is_an_error() -> None:
    with pytest.raises(OSError, match="token of 65536 characters"):
        listing_of_google("bucket", json.dumps({"nextPageToken": "a" * 2**16}).encode())


@pytest.mark.parametrize("size", [*NO_SIZES, "", -5, 10**30, 1.5, True, [], {}], ids=repr)
def test_an_invalid_size_is_an_error_on_google(size: object) -> None:
    document = json.dumps({"size": size}).encode()
    with pytest.raises(OSError, match="size"):
        object_size(document)
    with pytest.raises(OSError, match="size of 'a'"):
        listing_of_google("b", json.dumps({"items": [{"name": "a", "size": size}]}).encode())


@pytest.mark.parametrize(
    "page",
    [
        *({"items": items} for items in ([{"size": "5"}], ["a"], 5, [{"name": 5}], [None], None)),
        *({"prefixes": prefixes} for prefixes in (None, 5, "abc", [5], [None], [""])),
        *({"nextPageToken": token} for token in (5, ["a"], {"a": "b"}, "\ud800")),
        {"items": [{"name": "\ud800"}]},
    ],
    ids=repr,
)
def test_a_listing_without_names_is_an_error(page: object) -> None:
    with pytest.raises(OSError, match="invalid listing"):
        listing_of_google("bucket", json.dumps(page).encode())


@pytest.mark.parametrize("size", NO_SIZES, ids=repr)
def test_an_invalid_size_is_an_error_on_azure_and_s3(size: str) -> None:
    blob = (
        f"<Blob><Name>a</Name><Properties><Content-Length>{size}</Content-Length></Properties>"
        "</Blob>"
    )
    page = f"<EnumerationResults><Blobs>{blob}</Blobs><NextMarker/></EnumerationResults>"
    with pytest.raises(OSError, match="size of 'a'"):
        listing("container", page.encode())
    contents = f"<Contents><Key>a</Key><Size>{size}</Size></Contents>"
    truncated = "<IsTruncated>false</IsTruncated>"
    with pytest.raises(ValueError, match="size"):
        parse_list(f"<ListBucketResult>{truncated}{contents}</ListBucketResult>".encode())


@pytest.mark.parametrize(
    "piece",
    [
        "<Contents><Key>",
        "<Contents><Key>a</Key>",
        "<Contents><Key>a</Key><Owner><ID>a</ID>",
        "<CommonPrefixes><Prefix>",
        "<ETag>&quot;",
        "<a>",
        "&",
        "]]>",
    ],
)
def test_any_page_is_refused_in_linear_time(piece: str) -> None:
    def took(size: int) -> float:
        page = f"<ListBucketResult>{piece * (size // len(piece))}"
        began = time.process_time()
        with pytest.raises(ValueError, match=r"XML|form"):
            parse_list(page.encode())
        with pytest.raises((OSError, ElementTree.ParseError)):
            listing("container", page.encode())
        return time.process_time() - began

    # Quadratic time would take minutes.
    assert took(MIB // 4) < 5
