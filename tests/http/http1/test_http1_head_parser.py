from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._http.http1.head_parser import (
    CHUNKED,
    UNTIL_CLOSE,
    ProtocolError,
    may_become_head,
    parse_head,
)

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Headers for the body length and the connection have their own tests.
FRAMING = {"content-length", "transfer-encoding", "connection"}
NAMES = st.text(TOKEN, min_size=1).filter(lambda name: name.lower() not in FRAMING)
TEXTS = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"))
SPACES = st.text(" \t", max_size=3)


def parse(*lines: str, status: str = "HTTP/1.1 200 OK", no_body: bool = False):
    return parse_head(
        "".join(f"{line}\r\n" for line in (status, *lines)).encode("latin-1"), no_body=no_body
    )


@given(
    st.integers(100, 999),
    st.none() | TEXTS,
    st.lists(st.tuples(NAMES, SPACES, TEXTS, SPACES)),
    st.booleans(),
)
def test_a_valid_head_is_parsed(
    status: int, reason: str | None, headers: list[tuple[str, str, str, str]], is_old: bool
) -> None:
    expected: dict[str, str] = {}
    for name, _, value, _ in headers:
        before = expected.get(name.lower())
        value = value.strip(" \t")
        expected[name.lower()] = value if before is None else f"{before}, {value}"
    head = parse(
        *(f"{name}:{before}{value}{after}" for name, before, value, after in headers),
        status=f"HTTP/1.{'0' if is_old else '1'} {status}"
        + ("" if reason is None else f" {reason}"),
    )
    no_body = status < 200 or status in (204, 304)
    assert head.status == status
    assert head.headers == expected
    assert head.length == (0 if no_body else UNTIL_CLOSE)
    assert head.keeps_open == (no_body and not is_old)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n",
        b"200 OK\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.2 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 099 OK\r\n",
        b"HTTP/1.1 200OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        b"HTTP/1.1\t200 OK\r\n",
        b" HTTP/1.1 200 OK\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n",
        b"http/1.1 200 OK\r\n",
        b"ICY 200 OK\r\n",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 a\0b\r\n",
        b"HTTP/1.1 200 a\rb\r\n",
        "HTTP/1.1 \u00b2\u00b2\u00b2 OK\r\n".encode("latin-1"),
    ],
)
def test_another_status_line_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError, match="not HTTP"):
        parse_head(head, no_body=False)


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length : 5",
        " folded: 5",
        "\tfolded",
        "name: value\r\n continued",
        "no colon",
        ": no name",
        "na me: value",
        "na\u00efve: value",
        "name: a\0b",
        "na\0me: value",
        "name: a\nother: b",
        "name: a\rb",
        "name: a\n",
        "",
    ],
)
def test_a_malformed_header_is_refused(line: str) -> None:
    with pytest.raises(ProtocolError, match="malformed header"):
        parse("a: b", line, "content-length: 5")


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["Content-Length: 5"], 5),
        (["content-length:5"], 5),
        (["CONTENT-LENGTH: \t 007 \t"], 7),
        (["Content-Length: 0"], 0),
        ([f"Content-Length: {10**17}"], 10**17),
        (["Content-Length: 5, 5"], 5),
        (["Content-Length: 5", "a: b", "content-length: 5"], 5),
        (["Content-Length: 5", "Content-Length: 5", "Content-Length: 5"], 5),
        (["Transfer-Encoding: chunked"], CHUNKED),
        (["transfer-encoding:CHUNKED"], CHUNKED),
        ([], UNTIL_CLOSE),
    ],
)
def test_where_the_body_ends(lines: list[str], length: int) -> None:
    assert parse(*lines).length == length


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length:"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: " + "0" * 5000 + "5"],
        ["Content-Length: -5"],
        ["Content-Length: +5"],
        ["Content-Length: 5.0"],
        ["Content-Length: 0x5"],
        ["Content-Length: 1_000"],
        ["Content-Length: 5 5"],
        ["Content-Length: \u00b2"],
        ["Content-Length: \u00a05"],
        ["Content-Length: 5, 6"],
        ["Content-Length: 5,"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5", "Content-Length: 05"],
        [f"Content-Length: {10**18}"],
        ["Content-Length: " + "9" * 5000],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked, gzip"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: identity", "Content-Length: 5"],
        ["Transfer-Encoding:"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: " + "x" * 5000],
    ],
)
def test_an_ambiguous_body_length_is_refused(lines: list[str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(*lines)
    # The error message is short.
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("status", "lines", "keeps_open"),
    [
        ("HTTP/1.1 200 OK", [], True),
        ("HTTP/1.1 200", [], True),
        ("HTTP/1.1 200 ", [], True),
        ("HTTP/1.1 200 OK", ["Connection: keep-alive"], True),
        ("HTTP/1.1 200 OK", ["Connection: close"], False),
        ("HTTP/1.1 200 OK", ["Connection: Close"], False),
        ("HTTP/1.1 200 OK", ["Connection: x, close"], False),
        ("HTTP/1.1 200 OK", ["Connection: keep-alive", "Connection: close"], False),
        ("HTTP/1.0 200 OK", [], False),
        ("HTTP/1.0 200 OK", ["Connection: Keep-Alive"], True),
        ("HTTP/1.0 200 OK", ["Connection: keep-alive, close"], False),
    ],
)
def test_keeps_open(status: str, lines: list[str], keeps_open: bool) -> None:
    assert parse("Content-Length: 5", *lines, status=status).keeps_open is keeps_open


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("HTTP/1.1 200 OK", []),
        ("HTTP/1.0 200 OK", ["Transfer-Encoding: chunked", "Connection: keep-alive"]),
    ],
)
def test_no_request_follows_an_ambiguous_body(status: str, lines: list[str]) -> None:
    assert parse(*lines, status=status).keeps_open is False
    # The ambiguity concerns only the body.
    assert parse(*lines, status=status, no_body=True).keeps_open is True


@pytest.mark.parametrize(
    "lines", [[], ["Content-Length: 5"], ["Content-Length: x"], ["Transfer-Encoding: chunked"]]
)
@pytest.mark.parametrize(
    ("status", "no_body"), [(100, False), (204, False), (304, False), (200, True), (404, True)]
)
def test_responses_without_a_body_whatever_their_head_states(
    status: int, no_body: bool, lines: list[str]
) -> None:
    head = parse(*lines, status=f"HTTP/1.1 {status} x", no_body=no_body)
    assert (head.length, head.keeps_open) == (0, True)


@given(st.lists(st.tuples(NAMES, TEXTS)), st.data())
def test_every_start_of_a_head_may_become_one(
    headers: list[tuple[str, str]], data: st.DataObject
) -> None:
    text = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = text.encode("latin-1")
    assert may_become_head(head[: data.draw(st.integers(0, len(head)))])


@pytest.mark.parametrize(
    "start",
    [b"H2", b"SSH-2.0-x\r\n", b"\x15\x03", b"\r\n", b"http/1.1", b"HTTP/2", b"HTTP/1.1 200 OK\nA"],
)
def test_the_start_of_something_else_is_recognized(start: bytes) -> None:
    assert not may_become_head(start)
