"""Requests and responses of the server, as its two other modules exchange them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

#: A body in pieces, so that values of several parts are not copied.
Pieces: TypeAlias = tuple[memoryview, ...]

COMMON_HEADERS = {"x-amz-request-id": "0A1B2C3D4E5F6071", "Server": "cheap-s3"}

_REASONS = {
    100: "Continue",
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    304: "Not Modified",
    404: "Not Found",
    412: "Precondition Failed",
    416: "Range Not Satisfiable",
    501: "Not Implemented",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request. Names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: memoryview


@dataclass(frozen=True, slots=True)
class Response:
    """A response: all after the header `Date`, which `connections` adds, and the body."""

    status: int
    head: bytes
    body: Pieces = ()


def response(
    status: int, headers: dict[str, str], body: Pieces = (), length: int | None = None
) -> Response:
    """A response with its headers. `length` is that of the body of a response to HEAD."""
    if length is None:
        length = sum(map(len, body))
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if status not in (204, 304):
        lines.append(f"Content-Length: {length}")
    return Response(status, "\r\n".join([*lines, "", ""]).encode(), body)


def status_line(status: int) -> str:
    """The first line of a response."""
    return f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
