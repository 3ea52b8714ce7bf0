"""Answers that came from another server than the one that was asked: a proxy, a login page.

Pure functions, no I/O.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ForeignAnswerError", "is_page", "unexpected"]

#: How much of a body shows whether it is a page.
_START = 256


class ForeignAnswerError(OSError):
    """The answer did not come from the service.

    Parameters
    ----------
    service : str
        The service, or its protocol, by name.
    status : int
        Of the answer.
    headers : mapping
        Of the answer.
    """

    def __init__(self, service: str, status: int, headers: Mapping[str, str]) -> None:
        try:
            phrase = f" {HTTPStatus(status).phrase}"
        except ValueError:
            phrase = ""
        kind = headers.get("content-type", "").partition(";")[0].strip()
        super().__init__(
            f"{unexpected(service)}: status {status}{phrase}" + (f" with {kind}" if kind else "")
        )
        self.service = service
        self.status = status
        self.headers = dict(headers)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.service, self.status, self.headers)


def unexpected(service: str) -> str:
    """What an error says of a response that did not come from the service."""
    return f"unexpected response: the server does not speak {service}"


def is_page(body: bytes | memoryview) -> bool:
    """Whether a body is a page of HTML."""
    start = bytes(body[:_START]).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml"):
        start = start.partition(b"?>")[2].lstrip()
    return start.startswith((b"<!doctype html", b"<html"))
