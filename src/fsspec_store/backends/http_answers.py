"""Answers over HTTP: whole ones, large ones, and what those mean that are none.

Knows aiohttp's errors, and no service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import aiohttp
from multidict import CIMultiDict

from ..redaction import hidden, request_secrets
from ..retries import TRANSIENT, Verdict, status_verdict
from .base import Failure, builtin_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .large_reads import Stream

__all__ = [
    "Answer",
    "LargeBody",
    "Received",
    "StatusError",
    "TornError",
    "http_failure",
    "http_verdict",
    "public_answer",
]

T = TypeVar("T")

#: How much of an error's body is kept.
_ERROR_BYTES = 4096
#: Most bytes by which a response writes one character of a secret: ``%F0%9F%94%91``.
_LONGEST_SPELLING = 12
#: How much of an error's body a message quotes.
_QUOTED = 300


@dataclass(frozen=True, slots=True)
class Received(Generic[T]):
    """An answer: status, headers (looked up in any case), and what was made of its body."""

    status: int
    headers: Mapping[str, str]
    body: T


class Answer(Received[bytes]):
    """A whole answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A body that is not read yet, and the size of it in bytes; to be closed."""

    stream: Stream
    size: int


class StatusError(Exception):
    """A service answered with a status that is no answer to the request.

    Parameters
    ----------
    answer : Answer
        What it answered.
    """

    def __init__(self, answer: Answer) -> None:
        text = answer.body[:_QUOTED].decode("utf-8", "replace").strip()
        super().__init__(f"status {answer.status}" + (f": {text}" if text else ""))
        self.answer = answer

    def __reduce__(self) -> tuple[Any, ...]:
        # What aiohttp hands out of headers is a view, which does not travel.
        headers = CIMultiDict(self.answer.headers)
        return type(self), (Answer(self.answer.status, headers, self.answer.body),)


def public_answer(answer: Answer, url: str, sent: Mapping[str, str]) -> Answer:
    """An error response without the request's credentials, which some services repeat.

    Parameters
    ----------
    answer : Answer
        What came, with the whole body; its first 4 KiB are returned.
    url : str
        Where the request went.
    sent : mapping
        Its headers.
    """
    secrets = request_secrets(url, sent)
    headers = CIMultiDict((name, hidden(value, secrets)) for name, value in answer.headers.items())
    # A secret that the end cuts in two is not found: what may be the beginning of one is dropped.
    margin = _LONGEST_SPELLING * max(map(len, secrets), default=0)
    start = answer.body[: _ERROR_BYTES + margin]
    # Each byte is one character, so that what is no UTF-8 stays as it is.
    body = hidden(start.decode("latin-1"), secrets).encode("latin-1")
    if len(start) < len(answer.body):
        body = body[: max(len(body) - margin, 0)]
    return Answer(answer.status, headers, body[:_ERROR_BYTES])


class TornError(Exception):
    """Parts of what was one object are not: it was replaced, or they came damaged.

    To be read again, and as a whole.
    """


def http_verdict(error: Exception) -> Verdict | None:
    """Why a request that failed this way may be repeated, ``None`` where that is no use."""
    if isinstance(error, StatusError):
        return status_verdict(error.answer.status, error.answer.headers)
    if isinstance(error, (aiohttp.ClientSSLError, aiohttp.InvalidURL, aiohttp.TooManyRedirects)):
        return None
    if isinstance(error, (aiohttp.ClientError, TimeoutError, ConnectionError)):
        return TRANSIENT
    return None


def http_failure(error: Exception) -> Failure:
    """What an exception of `HTTPClient.send` means, for backends to fall back on."""
    if isinstance(error, StatusError):
        if error.answer.status == 401:
            return Failure.UNAUTHENTICATED
        if error.answer.status == 403:
            return Failure.FORBIDDEN
        return Failure.BACKEND
    if isinstance(error, aiohttp.ClientError):
        return Failure.BACKEND
    return builtin_failure(error)
