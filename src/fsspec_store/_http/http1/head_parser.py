"""Parser for the head of an HTTP/1.1 response: status, headers, length of the body. No I/O.

It rejects every head whose body length is ambiguous: otherwise bytes of one response could be
parsed as the next one on the same connection.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CHUNKED", "UNTIL_CLOSE", "Head", "ProtocolError", "may_become_head", "parse_head"]

#: Values of `Head.length` for bodies whose head does not state a number of bytes.
CHUNKED = -1
UNTIL_CLOSE = -2

#: Headers (RFC 9112, section 5): no space before a colon, nothing folded, no control characters.
_HEADERS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?\r\n")
_FIRST_BYTES = b"HTTP/1."
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_NO_BODY_STATUSES = frozenset({204, 304})
_LENGTH = re.compile(r"[0-9]{1,18}")
#: Maximum number of characters of a header that an error message quotes.
_MAX_QUOTED = 80


class ProtocolError(ConnectionError):
    """The server violates HTTP/1.1."""


class Head(NamedTuple):
    """The parsed head of a response."""

    status: int
    #: Names in lower case; values of repeated names are joined by ``", "``.
    headers: dict[str, str]
    #: Size of the body in bytes, `CHUNKED` or `UNTIL_CLOSE`.
    length: int
    #: Whether the connection can be used for another request.
    keeps_open: bool


def may_become_head(start: bytes) -> bool:
    """Whether bytes without an empty line can be the start of a head, so that more are awaited."""
    return start.startswith(_FIRST_BYTES[: len(start)]) and not _BARE_NEWLINE.search(start)


def parse_head(head: bytes | memoryview, *, no_body: bool) -> Head:
    """Parse the head of a response, to the end of the last header line, without the empty line.

    Raises `ProtocolError` when the head is malformed, or the body's length ambiguous (RFC 9112,
    section 6.3).
    """
    text = str(head, "latin-1")
    start = _STATUS_LINE.match(text)
    if start is None:
        raise ProtocolError("the response is not HTTP/1.1")
    minor, status = start.group(1), int(start.group(2))
    # One expression checks all headers, because this runs for every response.
    if _HEADERS.fullmatch(text, start.end()) is None:
        raise ProtocolError("the server sent a malformed header")
    lines = [line.partition(":") for line in text[start.end() : -2].split("\r\n")]
    if not lines[0][0]:
        lines.clear()
    headers = {name.lower(): value.strip(" \t") for name, _, value in lines}
    if len(headers) < len(lines):
        headers = _join_repeated(lines)
    connection = headers.get("connection", "").lower()
    keeps_open = "close" not in connection and (minor == "1" or "keep-alive" in connection)
    if no_body or status in _NO_BODY_STATUSES or status < 200:
        return Head(status, headers, 0, keeps_open)
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"unsupported Transfer-Encoding {coding[:_MAX_QUOTED]!r}")
        if "content-length" in headers:
            # The rest of the body could be parsed as the next response (RFC 9112, section 6.3:
            # "ought to be handled as an error").
            raise ProtocolError("the server sent both Content-Length and Transfer-Encoding")
        # The framing of a chunked HTTP/1.0 response is not reliable (RFC 9112, section 6.1).
        return Head(status, headers, CHUNKED, keeps_open and minor == "1")
    length = headers.get("content-length")
    if length is None:
        return Head(status, headers, UNTIL_CLOSE, False)
    if _LENGTH.fullmatch(length) is None:
        length = _single_length(length)
    return Head(status, headers, int(length), keeps_open)


def _join_repeated(lines: list[tuple[str, str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, _, value in lines:
        before = headers.get(name.lower())
        value = value.strip(" \t")
        headers[name.lower()] = value if before is None else f"{before}, {value}"
    return headers


def _single_length(value: str) -> str:
    """The length in a ``Content-Length`` that repeats one length."""
    lengths = {length.strip(" \t") for length in value.split(",")}
    length = lengths.pop()
    if lengths or _LENGTH.fullmatch(length) is None:
        raise ProtocolError(f"the server sent an invalid Content-Length, {value[:_MAX_QUOTED]!r}")
    return length
