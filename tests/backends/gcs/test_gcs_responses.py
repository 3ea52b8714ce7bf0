from __future__ import annotations

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import pytest
from multidict import CIMultiDict

from fsspec_store._backends.checksums import ALGORITHMS
from fsspec_store._backends.gcs.responses import (
    is_ambiguous_404,
    is_missing_bucket,
    is_missing_object,
    retry_decision,
    verify_checksum,
    verify_stored,
    with_message,
)
from fsspec_store._http.messages import Response
from fsspec_store._http.responses import StatusError
from fsspec_store._http.retry_policy import EXPIRED, TRANSIENT


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such thing"}}', b"no such thing"),
        (b'{"error": "other"}', b'{"error": "other"}'),
        (b"[]", b"[]"),
        (b"No such object: b/o", b"No such object: b/o"),
        (b"\xff", b"\xff"),
        (b'{"error": {"message": "\\ud800!"}}', b"?!"),
        (b'{"error": {"message": [[]]}}', b'{"error": {"message": [[]]}}'),
        (b'{"error": {"message": "' + b"x" * 2**17, b'{"error": {"message": "' + b"x" * 2**17),
    ],
)
def test_an_error_response_with_its_message(body: bytes, words: bytes) -> None:
    assert with_message(Response(404, {}, body)).body == words


@pytest.mark.parametrize(
    ("status", "body", "is_object", "is_bucket"),
    [
        (404, b"No such object: b/o", True, False),
        (404, b"No such object: b/The specified bucket does not exist.", True, False),
        (404, b"The specified bucket does not exist.", False, True),
        (404, b"Not Found", False, False),
        (403, b"The specified bucket does not exist.", False, False),
    ],
)
def test_missing_objects_and_missing_buckets(
    status: int, body: bytes, is_object: bool, is_bucket: bool
) -> None:
    response = Response(status, {}, body)
    assert is_missing_object(response) is is_object
    assert is_missing_bucket(response) is is_bucket
    assert is_ambiguous_404(response) is (status == 404 and not is_object)


def test_the_checksum_of_a_whole_object_is_verified() -> None:
    several = CIMultiDict([("x-goog-hash", "md5=zzz"), ("X-Goog-Hash", "crc32c=4waSgw==")])
    for headers in (several, {"X-Goog-Hash": "crc32c=4waSgw==,md5=x"}, {}, {"X-Goog-Hash": "?"}):
        verify_checksum(headers, b"123456789")
    with pytest.raises(aiohttp.ClientPayloadError, match="checksum"):
        verify_checksum(several, b"123456780")


def test_without_a_fast_library_the_checksum_is_not_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(ALGORITHMS, "crc32c")
    assert verify_checksum({"X-Goog-Hash": "crc32c=4waSgw=="}, b"other") is None  # type: ignore[func-returns-value]


def test_stored_size_and_checksum_are_verified() -> None:
    declared = {"crc32c": "4waSgw=="}
    for body in (b"{}", b'{"size": "9"}', b'{"size": "9", "crc32c": "4waSgw==", "md5Hash": "x"}'):
        verify_stored(Response(200, {}, body), 9, declared)
    for body in (b'{"size": "8"}', b'{"size": "9", "crc32c": "AAAAAA=="}'):
        with pytest.raises(OSError, match="other bytes"):
            verify_stored(Response(200, {}, body), 9, declared)


def test_retry_decisions() -> None:
    passing = google.auth.exceptions.TransportError("x")
    lasting = google.auth.exceptions.RefreshError("x")
    wrapped = gcsfs.retry.HttpError({"code": 401, "message": "Invalid Credentials"})
    assert retry_decision(passing) == TRANSIENT
    assert retry_decision(google.auth.exceptions.RefreshError("x", retryable=True)) == TRANSIENT
    assert retry_decision(lasting) is None
    assert retry_decision(wrapped) is None
    wrapped.__cause__ = google.auth.exceptions.RefreshError("x", retryable=True)
    assert retry_decision(wrapped) == TRANSIENT
    assert retry_decision(StatusError(Response(401, {}, b""))) == EXPIRED
    assert retry_decision(StatusError(Response(403, {}, b""))) is None
    assert retry_decision(StatusError(Response(500, {}, b""))) == TRANSIENT
    assert retry_decision(ValueError()) is None
