from __future__ import annotations

from email.parser import BytesParser

import pytest

from fsspec_store._backends.azure.responses import error_code
from fsspec_store._backends.gcs.responses import batch_failures, retry_decision
from fsspec_store._backends.object_store.batches import batch_body, batch_responses
from fsspec_store._http.messages import Response
from fsspec_store._http.retry_policy import TRANSIENT

#: In the form of Cloud Storage, "Sending batch requests", not in the order of the requests.
GOOGLE = b"""--batch_pK7JBAk73-E=_AA5eFwv4m2Q=\r
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
AZURE = b"""--batchresponse_66925647\r
Content-Type: application/http \r
Content-ID: 0 \r
\r
HTTP/1.1 202 Accepted \r
x-ms-delete-type-permanent: true \r
x-ms-request-id: 778fdc83-801e-0000-62ff-0334671e284f \r
\r
--batchresponse_66925647\r
Content-Type: application/http \r
Content-ID: 12 \r
\r
HTTP/1.1 404 The specified blob does not exist. \r
x-ms-error-code: BlobNotFound \r
Content-Length: 216 \r
Content-Type: application/xml \r
\r
<?xml version="1.0" encoding="utf-8"?><Error><Code>BlobNotFound</Code></Error>\r
--batchresponse_66925647--\r
"""


def responses(boundary: str, body: bytes) -> dict[int, Response[bytes]]:
    headers = {"Content-Type": f'multipart/mixed; boundary="{boundary}"'}
    return batch_responses(Response(200, headers, body))


def test_a_batch_holds_its_requests() -> None:
    requests = ["DELETE /b/x/o/a%0Ab HTTP/1.1", "DELETE /b/x/o/c?userProject=p HTTP/1.1"]
    body, content_type = batch_body(requests, "<{}>")
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    parts = BytesParser().parsebytes(head + body).get_payload()
    assert [part["Content-ID"] for part in parts] == ["<0>", "<1>"]
    assert [part.get_payload().splitlines()[0] for part in parts] == requests


def test_responses_of_google() -> None:
    found = responses("batch_pK7JBAk73-E=_AA5eFwv4m2Q=", GOOGLE)
    assert {number: each.status for number, each in found.items()} == {0: 204, 1: 403, 3: 503}
    failures = batch_failures(found, 4)
    assert list(failures) == [1, 2, 3]
    assert retry_decision(failures[1]) is None
    assert retry_decision(failures[2]) == TRANSIENT
    again = retry_decision(failures[3])
    assert again is not None
    assert again.throttled
    assert again.after == 7


def test_responses_of_azure() -> None:
    found = responses("batchresponse_66925647", AZURE)
    assert {number: each.status for number, each in found.items()} == {0: 202, 12: 404}
    assert error_code(found[12]) == "BlobNotFound"


def test_non_ascii_headers_of_a_part() -> None:
    part = b"--b\r\nContent-ID: <\xff0>\r\n\r\nHTTP/1.1 503 X\r\nRetry-After: \xff\r\n\r\n\r\n--b--"
    assert responses("b", part)[0].status == 503
    assert responses("b", part.replace(b"<\xff0>", b"\xd9\xa3")) == {}


@pytest.mark.parametrize("body", [b"", b"<html>", b"--b\r\n\r\nx\r\n--b--", b"<Error/>"])
def test_an_invalid_batch_has_no_responses(body: bytes) -> None:
    assert responses("b", body) == {}


def test_a_response_to_the_whole_batch_has_no_number() -> None:
    body = AZURE.replace(b"Content-ID: 0 \r\n", b"").replace(b"Content-ID: 12 \r\n", b"")
    assert responses("batchresponse_66925647", body) == {}
