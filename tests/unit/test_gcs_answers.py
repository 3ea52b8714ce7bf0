from __future__ import annotations

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import pytest
from multidict import CIMultiDict

from fsspec_store.backends.gcs import requests as gcs_requests
from fsspec_store.backends.gcs.answers import (
    check_stored,
    check_whole,
    failures_of_batch,
    in_words,
    is_missing_bucket,
    is_missing_object,
    is_unclear,
    outcomes_of_batch,
    verdict,
)
from fsspec_store.backends.http_answers import Answer, StatusError
from fsspec_store.retries import EXPIRED, TRANSIENT

#: In the form of Cloud Storage, "Sending batch requests", in another order than they were asked.
BATCH = b"""--batch_pK7JBAk73-E=_AA5eFwv4m2Q=\r
Content-Type: application/http\r
Content-ID: <response-b29c5de2-0db4-490b-b421-6a51b598bd22+1>\r
\r
HTTP/1.1 403 Forbidden\r
Content-Type: application/json; charset=UTF-8\r
Content-Length: 60\r
\r
{"error": {"code": 403, "message": "no access to \xc3\xbc"}}\r
--batch_pK7JBAk73-E=_AA5eFwv4m2Q=\r
Content-Type: application/http\r
Content-ID: <response-b29c5de2-0db4-490b-b421-6a51b598bd22+0>\r
\r
HTTP/1.1 204 No Content\r
Content-Length: 0\r
\r
\r
--batch_pK7JBAk73-E=_AA5eFwv4m2Q=\r
Content-Type: application/http\r
Content-ID: <response-b29c5de2-0db4-490b-b421-6a51b598bd22+3>\r
\r
HTTP/1.1 503 Service Unavailable\r
Retry-After: 7\r
\r
\r
--batch_pK7JBAk73-E=_AA5eFwv4m2Q=--\r
"""


def test_answers_of_a_batch_are_told_apart() -> None:
    headers = {"Content-Type": 'multipart/mixed; boundary="batch_pK7JBAk73-E=_AA5eFwv4m2Q="'}
    outcomes = outcomes_of_batch(Answer(200, headers, BATCH))
    assert {number: outcome.status for number, outcome in outcomes.items()} == {
        0: 204,
        1: 403,
        3: 503,
    }
    assert outcomes[1].body.decode() == "no access to ü"
    failures = failures_of_batch(outcomes, 4)
    assert list(failures) == [1, 2, 3]
    assert verdict(failures[1]) is None
    assert verdict(failures[2]) == TRANSIENT
    again = verdict(failures[3])
    assert again is not None
    assert again.throttled
    assert again.after == 7


def test_a_header_of_a_part_that_is_no_ascii() -> None:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    part = b"--b\r\nContent-ID: <\xff0>\r\n\r\nHTTP/1.1 503 X\r\nRetry-After: \xff\r\n\r\n\r\n"
    outcomes = outcomes_of_batch(Answer(200, headers, part + b"--b--"))
    assert verdict(failures_of_batch(outcomes, 1)[0]) is not None


@pytest.mark.parametrize("body", [b"", b"<html>", b"--b\r\n\r\nx\r\n--b--"])
def test_what_is_no_batch_answers_nothing(body: bytes) -> None:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    assert outcomes_of_batch(Answer(200, headers, body)) == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no such thing"}}', b"no such thing"),
        (b'{"error": "odd"}', b'{"error": "odd"}'),
        (b"[]", b"[]"),
        (b"No such object: b/o", b"No such object: b/o"),
        (b"\xff", b"\xff"),
        (b'{"error": {"message": "\\ud800!"}}', b"?!"),
        (b'{"error": {"message": [[]]}}', b'{"error": {"message": [[]]}}'),
        (b'{"error": {"message": "' + b"x" * 2**17, b'{"error": {"message": "' + b"x" * 2**17),
    ],
)
def test_a_refusal_is_told_in_words(body: bytes, words: bytes) -> None:
    assert in_words(Answer(404, {}, body)).body == words


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
def test_missing_objects_and_buckets_are_told_apart(
    status: int, body: bytes, is_object: bool, is_bucket: bool
) -> None:
    answer = Answer(status, {}, body)
    assert is_missing_object(answer) is is_object
    assert is_missing_bucket(answer) is is_bucket
    assert is_unclear(answer) is (status == 404 and not is_object)


def test_a_whole_object_fits_its_checksum() -> None:
    several = CIMultiDict([("x-goog-hash", "md5=zzz"), ("X-Goog-Hash", "crc32c=4waSgw==")])
    for headers in (several, {"X-Goog-Hash": "crc32c=4waSgw==,md5=x"}, {}, {"X-Goog-Hash": "?"}):
        check_whole(headers, b"123456789")
    with pytest.raises(aiohttp.ClientPayloadError, match="checksum"):
        check_whole(several, b"123456780")


def test_without_a_fast_library_a_checksum_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gcs_requests, "_HAS_FAST_CRC32C", False)
    assert check_whole({"X-Goog-Hash": "crc32c=4waSgw=="}, b"other") is None  # type: ignore[func-returns-value]


def test_what_was_stored_is_held_against_what_was_sent() -> None:
    declared = {"crc32c": "4waSgw=="}
    for body in (b"{}", b'{"size": "9"}', b'{"size": "9", "crc32c": "4waSgw==", "md5Hash": "x"}'):
        check_stored(Answer(200, {}, body), memoryview(b"123456789"), declared)
    for body in (b'{"size": "8"}', b'{"size": "9", "crc32c": "AAAAAA=="}'):
        with pytest.raises(OSError, match="other bytes"):
            check_stored(Answer(200, {}, body), memoryview(b"123456789"), declared)


def test_which_failures_are_worth_another_attempt() -> None:
    passing = google.auth.exceptions.TransportError("x")
    lasting = google.auth.exceptions.RefreshError("x")
    wrapped = gcsfs.retry.HttpError({"code": 401, "message": "Invalid Credentials"})
    assert verdict(passing) == TRANSIENT
    assert verdict(google.auth.exceptions.RefreshError("x", retryable=True)) == TRANSIENT
    assert verdict(lasting) is None
    assert verdict(wrapped) is None
    wrapped.__cause__ = google.auth.exceptions.RefreshError("x", retryable=True)
    assert verdict(wrapped) == TRANSIENT
    assert verdict(StatusError(Answer(401, {}, b""))) == EXPIRED
    assert verdict(StatusError(Answer(403, {}, b""))) is None
    assert verdict(StatusError(Answer(500, {}, b""))) == TRANSIENT
    assert verdict(ValueError()) is None
