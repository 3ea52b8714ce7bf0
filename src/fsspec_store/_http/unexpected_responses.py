"""Responses of another server than the expected one: a proxy, a login page. No I/O."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UnexpectedServerError", "is_html_page", "unexpected_response"]

#: Number of bytes that show whether a body is HTML.
_START_BYTES = 256


class UnexpectedServerError(OSError):
    """The response is not one of the service."""

    def __init__(self, service: str, status: int, headers: Mapping[str, str]) -> None:
        phrase = f" {http.client.responses[status]}" if status in http.client.responses else ""
        media_type = headers.get("content-type", "").partition(";")[0].strip()
        super().__init__(
            f"{unexpected_response(service)}: status {status}{phrase}"
            + (f" with {media_type}" if media_type else "")
        )
        self.service = service
        self.status = status
        self.headers = dict(headers)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.service, self.status, self.headers)


def unexpected_response(service: str) -> str:
    """The error message for a response that is not one of the service."""
    return f"unexpected response: the server does not speak {service}"


def is_html_page(body: bytes | memoryview) -> bool:
    """Whether a body is HTML."""
    start = bytes(body[:_START_BYTES]).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml"):
        start = start.partition(b"?>")[2].lstrip()
    return start.startswith((b"<!doctype html", b"<html"))
