"""What answers of Google Cloud Storage's JSON API mean.

Which of object and bucket is missing, whether the bytes are the right ones, which failure is worth
another attempt. Pure functions on answers and exceptions, no I/O.
"""

from __future__ import annotations

import json
import re
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

import aiohttp
import gcsfs.retry
import google.auth.exceptions

from ...retries import EXPIRED, TRANSIENT, Verdict
from ..byte_ranges import stated_size
from ..http_answers import Answer, StatusError, http_verdict
from ..parsing import parse_json, parse_multipart
from .requests import crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CREDENTIAL_ERRORS",
    "check_stored",
    "check_whole",
    "failures_of_batch",
    "in_words",
    "is_missing_bucket",
    "is_missing_object",
    "is_unclear",
    "object_size",
    "objects_of_page",
    "outcomes_of_batch",
    "verdict",
]

#: What the credentials' library raises, and gcsfs in its place.
CREDENTIAL_ERRORS = (
    google.auth.exceptions.GoogleAuthError,
    gcsfs.retry.HttpError,
    # Releases of gcsfs before this class let the library's own error through.
    getattr(gcsfs.retry, "NonRetryableError", gcsfs.retry.HttpError),
)

#: An object that was gone already is deleted.
_DELETED = frozenset({200, 204, 404})
_HASH = "X-Goog-Hash"
_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)")
_IS_STATUS = re.compile(b"[0-9]{3}").fullmatch
_CONTENT_ID = re.compile(r"(\d{1,9})>?$")


def check_stored(answer: Answer, data: memoryview, declared: Mapping[str, str]) -> None:
    """Hold what the service says it stored against what it was sent.

    Raises
    ------
    OSError
        When it is something else. The service refuses such an upload; others may not.
    """
    stored = parse_json(answer.body)
    size = stored.get("size")
    wrong = size is not None and stated_size(size, "the object") != data.nbytes
    if wrong or any(stored.get(name, value) != value for name, value in declared.items()):
        raise OSError(f"the service stored other bytes than it was sent: {data.nbytes} of them")


def check_whole(headers: Mapping[str, str], body: bytes | memoryview) -> None:
    """Hold a whole object against the checksum it came with.

    Raises
    ------
    aiohttp.ClientPayloadError
        When it does not fit.
    """
    # The checksums come in one header or in several.
    several = getattr(headers, "getall", None)
    found = [headers.get(_HASH, "")] if several is None else several(_HASH, ())
    match = _CRC32C.search(",".join(found))
    if match and crc32c(memoryview(body)) not in (match[1], None):
        raise aiohttp.ClientPayloadError("the bytes that came do not fit their checksum")


def object_size(document: bytes) -> int:
    """The size in an object's metadata.

    Raises
    ------
    OSError
        When it states none.
    """
    return stated_size(parse_json(document).get("size"), "the object")


def objects_of_page(page: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Names and sizes on a page of a listing.

    Raises
    ------
    OSError
        When it names an object without a size or a name.
    """
    try:
        items = [(item["name"], item["size"]) for item in page.get("items", ())]
    except (KeyError, TypeError) as error:
        raise OSError(f"the service's listing has an object without {error}") from None
    for name, _ in items:
        if not isinstance(name, str) or not name:
            raise OSError(f"the service listed an object without a name, but {name!r:.80}")
    return [(name, stated_size(size, repr(name))) for name, size in items]


def outcomes_of_batch(answer: Answer) -> dict[int, Answer]:
    """A batch's answers by the numbers of its requests; one that did not come is not there."""
    outcomes = {}
    parts = parse_multipart(answer.headers.get("Content-Type", ""), answer.body)
    for part in parts:
        number = _CONTENT_ID.search(part.get("Content-ID", ""))
        inner = part.get_payload(decode=True)
        if number is None or not isinstance(inner, bytes):
            continue
        status, _, rest = inner.lstrip().partition(b"\n")
        words = status.split()
        if len(words) < 2 or not _IS_STATUS(words[1]):
            continue
        found = BytesParser().parsebytes(rest)
        headers = {name.lower(): value for name, value in found.items()}
        body = found.get_payload(decode=True)
        outcomes[int(number[1])] = in_words(
            Answer(int(words[1]), headers, body if isinstance(body, bytes) else b"")
        )
    return outcomes


def failures_of_batch(outcomes: Mapping[int, Answer], count: int) -> dict[int, Exception]:
    """The requests of a batch of ``count`` deletions that did not do what they were to do."""
    failures: dict[int, Exception] = {}
    for number in range(count):
        outcome = outcomes.get(number)
        if outcome is None:
            failures[number] = aiohttp.ClientPayloadError("a batch came back without all answers")
        elif outcome.status not in _DELETED:
            failures[number] = StatusError(outcome)
    return failures


def in_words(answer: Answer) -> Answer:
    """An error's answer with the service's sentence for a body, where it came in JSON."""
    try:
        message = json.loads(answer.body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer
    return Answer(answer.status, answer.headers, str(message).encode())


def is_missing_object(answer: Answer) -> bool:
    """Whether this says that an object is missing, in a bucket that is there."""
    return answer.status == 404 and answer.body.startswith(b"No such object")


def is_missing_bucket(answer: Answer) -> bool:
    """Whether this says that a bucket is missing; emulators say "Not Found" of anything."""
    return is_unclear(answer) and b"bucket does not exist" in answer.body


def is_unclear(answer: Answer) -> bool:
    """Whether something is missing and this does not say which, object or bucket."""
    return answer.status == 404 and not is_missing_object(answer)


def verdict(error: Exception) -> Verdict | None:
    """Why a request that failed this way may be repeated, ``None`` where that is no use."""
    if isinstance(error, StatusError) and error.answer.status == 401:
        return EXPIRED
    if isinstance(error, CREDENTIAL_ERRORS):
        # gcsfs puts an exception of its own around the library's.
        causes = (error, error.__cause__)
        passing = any(
            isinstance(cause, google.auth.exceptions.TransportError)
            or getattr(cause, "retryable", False)
            for cause in causes
        )
        return TRANSIENT if passing else None
    return http_verdict(error)
