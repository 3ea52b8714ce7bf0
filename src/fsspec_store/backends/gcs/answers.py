"""What answers of Google Cloud Storage's JSON API mean.

Which of object and bucket is missing, whether the bytes are the right ones, which failure is worth
another attempt. Pure functions on answers and exceptions, no I/O.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import gcsfs.retry
import google.auth.exceptions

from ...retries import EXPIRED, TRANSIENT, Verdict
from ..byte_ranges import stated_size
from ..foreign import ForeignAnswerError, is_page
from ..http_answers import Answer, StatusError, http_verdict
from ..parsing import parse_json, parse_multipart, parse_part
from .requests import crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CREDENTIAL_ERRORS",
    "Listing",
    "check_is_googles",
    "check_stored",
    "check_whole",
    "failures_of_batch",
    "in_words",
    "is_missing_bucket",
    "is_missing_object",
    "is_unclear",
    "listing",
    "object_size",
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
#: Headers of an object's answer. Servers of pages send an ETag as well.
_OF_OBJECTS = ("X-Goog-Generation", _HASH)
#: Google's name for a request, with each of its answers.
_UPLOAD_ID = "X-GUploader-UploadID"
_ERROR_BYTES = 4096
#: Longer errors are not parsed.
_JSON_ERROR_BYTES = 64 * 2**10
#: Maximum length of what asks for the next page: it becomes a part of a URL.
_MAX_TOKEN = 32 * 2**10
_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)")
_CRC32C_OF_NOTHING = "AAAAAA=="
_IS_STATUS = re.compile(b"[0-9]{3}").fullmatch
#: JSON can write half a character, which no URL can carry (RFC 8259, section 8.2).
_NO_CHARACTER = re.compile("[\ud800-\udfff]").search
_CONTENT_ID = re.compile(r"([0-9]{1,9})>?$")


def check_is_googles(
    status: int, headers: Mapping[str, str], body: bytes | memoryview, *, is_value: bool = False
) -> None:
    """Raise `ForeignAnswerError` for the page of a proxy, or of another server.

    Google's errors are JSON, or begin with "No such object" (Cloud Storage, "HTTP status and error
    codes for JSON"); emulators also say "Not Found". Values come with a generation.

    Parameters
    ----------
    status : int
        Of the answer.
    headers : mapping
        Of the answer.
    body : bytes or memoryview
        As it was sent.
    is_value : bool, optional
        Whether the body of a success is an object's.
    """
    if status < 300 and is_value:
        is_html = headers.get("Content-Type", "").lower().startswith("text/html")
        foreign = (is_html or is_page(body)) and not any(name in headers for name in _OF_OBJECTS)
    elif status < 300 or status in (400, 403):
        foreign = is_page(body)
    elif status == 404:
        text = bytes(body[:_ERROR_BYTES]).strip()
        foreign = not (
            _UPLOAD_ID in headers
            or text in (b"", b"Not Found")
            or text.startswith((b"No such object", b"{", b"["))
        ) or is_page(body)
    else:
        foreign = False
    if foreign:
        raise ForeignAnswerError("Google's JSON API", status, headers)


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


def object_size(document: bytes) -> int | None:
    """The size in an object's metadata; ``None`` where it is left out, or is doubtful.

    It is doubtful where it is 0 without the checksum of no bytes.

    Raises
    ------
    OSError
        When it is none.
    """
    found = parse_json(document)
    size = _size(found, "the object")
    return size if size or found.get("crc32c") == _CRC32C_OF_NOTHING else None


class Listing(NamedTuple):
    """One page of a listing.

    Attributes
    ----------
    objects : list of tuple
        Names and sizes; a size is ``None`` where the service lists none.
    prefixes : list of str
        With the ``/`` at their end.
    token : str
        Asks for the next page, ``""`` after the last.
    """

    objects: list[tuple[str, int | None]]
    prefixes: list[str]
    token: str


def listing(document: bytes) -> Listing:
    """Read a page of a listing.

    Raises
    ------
    OSError
        When it names an object or a prefix without a name, or with a size that is none, or a next
        page by what is no token.
    """
    page = parse_json(document)
    items, prefixes = page.get("items", []), page.get("prefixes", [])
    token = page.get("nextPageToken") or ""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise OSError("the service's listing has objects that are none")
    if not isinstance(prefixes, list):
        raise OSError("the service's listing has prefixes that are none")
    names = [item.get("name") for item in items]
    for text in [*names, *prefixes, token or "-"]:
        if not isinstance(text, str) or not text or _NO_CHARACTER(text):
            raise OSError(f"the service's listing has a name or a token that is none: {text!r:.80}")
    if len(token) > _MAX_TOKEN:
        raise OSError(f"the service's listing has a token of {len(token)} characters")
    sizes = [_size(item, repr(item["name"])) for item in items]
    return Listing(list(zip(names, sizes, strict=True)), prefixes, token)


def _size(item: Mapping[str, Any], what: str) -> int | None:
    size = item.get("size")
    return None if size is None else stated_size(size, what)


def outcomes_of_batch(answer: Answer) -> dict[int, Answer]:
    """A batch's answers by the numbers of its requests; one that did not come is not there."""
    outcomes = {}
    parts = parse_multipart(answer.headers.get("Content-Type", ""), answer.body)
    for part in parts:
        number = _CONTENT_ID.search(part.headers.get("content-id", ""))
        if number is None:
            continue
        status, _, rest = part.body.lstrip().partition(b"\n")
        words = status.split()
        if len(words) < 2 or not _IS_STATUS(words[1]):
            continue
        headers, body = parse_part(rest)
        outcomes[int(number[1])] = in_words(Answer(int(words[1]), headers, body))
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
    if len(answer.body) > _JSON_ERROR_BYTES:
        return answer
    try:
        message = json.loads(answer.body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return answer
    if not isinstance(message, str):
        return answer
    return Answer(answer.status, answer.headers, message.encode("utf-8", "replace"))


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
