"""Interprets responses of Google Cloud Storage's JSON API.

Distinguishes a missing object from a missing bucket, verifies checksums, makes retry decisions.
Pure functions on responses and exceptions, no I/O.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import gcsfs.retry
import google.auth.exceptions

from ..._http.content_range import stated_size
from ..._http.messages import Response
from ..._http.parsing import parse_json
from ..._http.responses import StatusError, retry_decision_of_error
from ..._http.retry_policy import EXPIRED, TRANSIENT, RetryDecision
from ..._http.unexpected_responses import UnexpectedServerError, is_html_page
from ..checksums import crc32c_in_base64, digests
from ..listed_details import digest, iso_time
from ..object_store.batches import batch_responses
from ..pages import Details, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CREDENTIAL_ERRORS",
    "batch_failures",
    "check_is_google",
    "checked",
    "is_ambiguous_404",
    "is_missing_bucket",
    "is_missing_object",
    "listing",
    "object_size",
    "outcomes_of_batch",
    "retry_decision",
    "stated_digests",
    "verify_checksum",
    "verify_stored",
    "with_message",
]

#: Exceptions of google-auth, and those that gcsfs raises for them.
CREDENTIAL_ERRORS = (
    google.auth.exceptions.GoogleAuthError,
    gcsfs.retry.HttpError,
    # Releases of gcsfs before this class raise the exception of google-auth itself.
    getattr(gcsfs.retry, "NonRetryableError", gcsfs.retry.HttpError),
)

#: A missing object counts as deleted.
_DELETED = frozenset({200, 204, 404})
_HASH_HEADER = "X-Goog-Hash"
#: Headers of a response with an object. An ETag proves nothing: web servers send it too.
_OBJECT_HEADERS = ("X-Goog-Generation", _HASH_HEADER)
#: Google's identifier of a request, in each response.
_UPLOAD_ID = "X-GUploader-UploadID"
_MAX_ERROR_TEXT_BYTES = 4096
#: Longer error bodies are not parsed.
_MAX_JSON_ERROR_BYTES = 64 * 2**10
#: Maximum length of a page token, which becomes a part of a URL.
_MAX_TOKEN_CHARACTERS = 32 * 2**10
_CRC32C = re.compile(r"crc32c=([A-Za-z0-9+/]{6}==)")
_EMPTY_CRC32C = "AAAAAA=="
#: JSON allows a lone surrogate, which no URL can hold (RFC 8259, section 8.2).
_find_lone_surrogate = re.compile("[\ud800-\udfff]").search


def check_is_google(
    status: int, headers: Mapping[str, str], body: bytes | memoryview, *, is_value: bool = False
) -> None:
    """Raise `UnexpectedServerError` for an HTML page of a proxy or of another server.

    Google's errors are JSON, or begin with "No such object" (Cloud Storage, "HTTP status and error
    codes for JSON"); emulators also state "Not Found". Responses with a value state a generation.
    """
    if status < 300 and is_value:
        is_html = headers.get("Content-Type", "").lower().startswith("text/html")
        is_unexpected = (is_html or is_html_page(body)) and not any(
            name in headers for name in _OBJECT_HEADERS
        )
    elif status == 404:
        text = bytes(body[:_MAX_ERROR_TEXT_BYTES]).strip()
        is_unexpected = is_html_page(body) or not (
            _UPLOAD_ID in headers
            or text in (b"", b"Not Found")
            or text.startswith((b"No such object", b"{", b"["))
        )
    else:
        is_unexpected = (status < 300 or status in (400, 403)) and is_html_page(body)
    if is_unexpected:
        raise UnexpectedServerError("Google's JSON API", status, headers)


def checked(response: Response[bytes]) -> Response[bytes]:
    """The response, after `check_is_google`; of an error `with_message`."""
    check_is_google(response.status, response.headers, response.body)
    return with_message(response) if response.status >= 400 else response


def verify_stored(response: Response[bytes], uploaded: int, checksums: Mapping[str, str]) -> None:
    """Compare the stored size and checksums with those of the uploaded value.

    Google rejects an upload with another checksum. Emulators may accept it.
    """
    stored = parse_json(response.body)
    size = stored.get("size")
    wrong = size is not None and stated_size(size, "the object") != uploaded
    if wrong or any(stored.get(name, value) != value for name, value in checksums.items()):
        raise OSError(f"the service stored other bytes than the {uploaded} bytes of the upload")


def stated_digests(headers: Mapping[str, str]) -> dict[str, bytes]:
    """The digests of the whole object in the headers of a response."""
    pairs = [each.strip().partition("=") for each in _hashes(headers).split(",")]
    return digests({name: value for name, _, value in pairs if name in ("crc32c", "md5")})


def _hashes(headers: Mapping[str, str]) -> str:
    # Google sends its checksums in one header or in several.
    several = getattr(headers, "getall", None)
    found = [headers.get(_HASH_HEADER, "")] if several is None else several(_HASH_HEADER, ())
    return ",".join(found)


def verify_checksum(headers: Mapping[str, str], body: bytes | memoryview) -> None:
    """Verify the CRC-32C of a whole object, if the response states one."""
    match = _CRC32C.search(_hashes(headers))
    if match and crc32c_in_base64(memoryview(body)) not in (match[1], None):
        raise aiohttp.ClientPayloadError("checksum mismatch in the response body")


def object_size(document: bytes) -> int | None:
    """The size in an object's metadata; ``None`` where it is missing or unreliable.

    A size of 0 is unreliable without the CRC-32C of an empty object.
    """
    found = parse_json(document)
    size = _size(found, "the object")
    return size if size or found.get("crc32c") == _EMPTY_CRC32C else None


def object_details(document: bytes) -> Details:
    """What an object's metadata states besides its size."""
    return _details(parse_json(document))


def listing(bucket: str, document: bytes, *, details: bool = False) -> tuple[Page, str]:
    """The page of a bucket's listing, and the token of the next one, ``""`` on the last one.

    The page has details if they were requested.

    Raises ``OSError`` when a name, a size or the page token is invalid.
    """
    found = parse_json(document)
    items, prefixes = found.get("items", []), found.get("prefixes", [])
    token = found.get("nextPageToken") or ""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise OSError("invalid listing: its items are not a list of objects")
    if not isinstance(prefixes, list):
        raise OSError("invalid listing: its prefixes are not a list")
    for text in [*(item.get("name") for item in items), *prefixes, token or "-"]:
        if not isinstance(text, str) or not text or _find_lone_surrogate(text):
            raise OSError(f"invalid listing: invalid name or page token {text!r:.80}")
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise OSError(f"invalid listing: page token of {len(token)} characters")
    page = Page(
        [(f"{bucket}/{item['name']}", _size(item, repr(item["name"]))) for item in items],
        [f"{bucket}/{prefix.removesuffix('/')}" for prefix in prefixes],
    )
    if details:
        page = page._replace(details={f"{bucket}/{item['name']}": _details(item) for item in items})
    return page, token


def _details(item: Mapping[str, Any]) -> Details:
    texts = {name: text for name, text in item.items() if isinstance(text, str)}
    digests = {"md5": digest(texts.get("md5Hash"), 16), "crc32c": digest(texts.get("crc32c"), 4)}
    generation = texts.get("generation", "")
    return Details(
        iso_time(texts.get("updated")),
        generation if generation.isdecimal() else None,
        {name: found for name, found in digests.items() if found is not None},
    )


def _size(item: Mapping[str, Any], what: str) -> int | None:
    size = item.get("size")
    return None if size is None else stated_size(size, what)


def outcomes_of_batch(batch: Response[bytes]) -> dict[int, Response[bytes]]:
    """The `checked` responses in a batch, by the number of their request."""
    return {number: checked(outcome) for number, outcome in batch_responses(batch).items()}


def batch_failures(outcomes: Mapping[int, Response[bytes]], count: int) -> dict[int, Exception]:
    """Errors by request number, for the failed requests of a batch of ``count`` deletions."""
    failures: dict[int, Exception] = {}
    for number in range(count):
        outcome = outcomes.get(number)
        if outcome is None:
            failures[number] = aiohttp.ClientPayloadError("the batch response is incomplete")
        elif outcome.status not in _DELETED:
            failures[number] = StatusError(outcome)
    return failures


def with_message(response: Response[bytes]) -> Response[bytes]:
    """The error response with its JSON body replaced by the message in it, if there is one."""
    if len(response.body) > _MAX_JSON_ERROR_BYTES:
        return response
    try:
        message = json.loads(response.body)["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return response
    if not isinstance(message, str):
        return response
    return Response(response.status, response.headers, message.encode("utf-8", "replace"))


def is_missing_object(response: Response[bytes | memoryview]) -> bool:
    """Whether a response states that the object is missing and its bucket exists."""
    return response.status == 404 and bytes(response.body[:14]) == b"No such object"


def is_missing_bucket(response: Response[bytes | memoryview]) -> bool:
    """Whether a response states that the bucket is missing; emulators only state "Not Found"."""
    return is_ambiguous_404(response) and b"bucket does not exist" in bytes(response.body)


def is_ambiguous_404(response: Response[bytes | memoryview]) -> bool:
    """Whether a 404 may mean that the bucket is missing, not the object."""
    return response.status == 404 and not is_missing_object(response)


def retry_decision(error: Exception) -> RetryDecision | None:
    """The retry decision for an error, ``None`` where a retry does not help."""
    if isinstance(error, StatusError) and error.response.status == 401:
        return EXPIRED
    if isinstance(error, CREDENTIAL_ERRORS):
        # gcsfs wraps the exception of google-auth.
        causes = (error, error.__cause__)
        is_transient = any(
            isinstance(cause, google.auth.exceptions.TransportError)
            or getattr(cause, "retryable", False)
            for cause in causes
        )
        return TRANSIENT if is_transient else None
    return retry_decision_of_error(error)
