"""The head of an HTTP/1.1 response: its status, its headers, and where its body ends.

Pure functions, no I/O. Strict where leniency would mix up two answers on one connection.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["CHUNKED", "UNTIL_CLOSE", "Head", "ProtocolError", "may_become_head", "parse_head"]

#: Body lengths that are no number of bytes.
CHUNKED = -1
UNTIL_CLOSE = -2

#: Headers (RFC 9112, section 5): no space before a colon, nothing folded, no control characters.
_HEADERS = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*\r\n)*")
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?\r\n")
_FIRST_BYTES = b"HTTP/1."
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_BODILESS = frozenset({204, 304})
#: Maximum number of digits of a length.
_MAX_DIGITS = 18
#: Of what a server said, this much is repeated in an error.
_SHOWN = 80


class ProtocolError(ConnectionError):
    """What came over a connection is no HTTP/1.1 response."""


class Head(NamedTuple):
    """A response without its body.

    Attributes
    ----------
    status : int
        Three digits.
    headers : dict of str to str
        Names in lower case; values of repeated names are joined by ``", "``.
    length : int
        Bytes of the body, or `CHUNKED`, or `UNTIL_CLOSE`.
    keeps_open : bool
        Whether another request may follow on the connection.
    """

    status: int
    headers: dict[str, str]
    length: int
    keeps_open: bool


def may_become_head(start: bytes) -> bool:
    """Whether a head may begin like this: what cannot be one is not waited for.

    Parameters
    ----------
    start : bytes
        From the status line on, without the empty line.
    """
    return start.startswith(_FIRST_BYTES[: len(start)]) and not _BARE_NEWLINE.search(start)


def parse_head(head: bytes | memoryview, *, bodiless: bool) -> Head:
    """Read a response's head.

    Parameters
    ----------
    head : bytes or memoryview
        From the status line to the end of the last header's line, without the empty line.
    bodiless : bool
        Whether the request was one that is answered without a body (HEAD).

    Raises
    ------
    ProtocolError
        When it is no head, or leaves open where the body ends (RFC 9112, section 6.3).
    """
    text = str(head, "latin-1")
    start = _STATUS_LINE.match(text)
    if start is None:
        raise ProtocolError("what the server sent is no HTTP/1.1 response")
    minor, status = start.group(1), int(start.group(2))
    # This is on the way of every response: one look at all lines, then no more looking.
    if _HEADERS.fullmatch(text, start.end()) is None:
        raise ProtocolError("the server sent a malformed header")
    lines = [line.partition(":") for line in text[start.end() : -2].split("\r\n")]
    if not lines[0][0]:
        lines.clear()
    headers = {name.lower(): value.strip(" \t") for name, _, value in lines}
    if len(headers) < len(lines):
        headers = _joined(lines)
    connection = headers.get("connection", "").lower()
    keeps_open = "close" not in connection and (minor == "1" or "keep-alive" in connection)
    if bodiless or status in _BODILESS or status < 200:
        return Head(status, headers, 0, keeps_open)
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise ProtocolError(f"the server sent a body in an unknown coding, {coding[:_SHOWN]!r}")
        if "content-length" in headers:
            # Two ends of one body: on a shared connection one of them would begin a response that
            # no request awaits (RFC 9112, section 6.3: "ought to be handled as an error").
            raise ProtocolError("the server sent both Content-Length and Transfer-Encoding")
        # HTTP/1.0 has no chunks (RFC 9112, section 6.1).
        return Head(status, headers, CHUNKED, keeps_open and minor == "1")
    length = headers.get("content-length")
    if length is None:
        return Head(status, headers, UNTIL_CLOSE, False)
    if not _is_length(length):
        length = _only_one(length)
    return Head(status, headers, int(length), keeps_open)


def _joined(lines: list[tuple[str, str, str]]) -> dict[str, str]:
    """Headers of which some are repeated."""
    headers: dict[str, str] = {}
    for name, _, value in lines:
        before = headers.get(name.lower())
        value = value.strip(" \t")
        headers[name.lower()] = value if before is None else f"{before}, {value}"
    return headers


def _is_length(said: str) -> bool:
    return said.isdigit() and said.isascii() and len(said) <= _MAX_DIGITS


def _only_one(lengths: str) -> str:
    """The length that is said several times over."""
    said = {length.strip(" \t") for length in lengths.split(",")}
    length = said.pop()
    if said or not _is_length(length):
        raise ProtocolError(f"the server sent no length of a body, but {lengths[:_SHOWN]!r}")
    return length
