"""The cheap server by botocore: what the benchmarks do not check themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError, SSLError

from benchmarks.places import Place, S3Endpoint, place_on


@pytest.fixture(scope="module", params=["plain", pytest.param("TLS", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_on("cheap", plain=request.param == "plain") as place:
        yield place


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[Any]:
    assert isinstance(place.endpoint, S3Endpoint)
    with closing(place.endpoint.client()) as client:
        yield client


def refused(method: Any, **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        method(**arguments)
    response: Any = raised.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_a_value_is_written_and_read(place: Place, client: Any) -> None:
    at = {"Bucket": place.bucket, "Key": "a key/with + and ü"}
    data = bytes(range(256)) * 2000
    client.put_object(**at, Body=data)
    found = client.get_object(**at)
    assert found["Body"].read() == data
    assert found["ContentLength"] == client.head_object(**at)["ContentLength"] == len(data)
    assert found["ETag"] == client.head_object(**at)["ETag"]


@pytest.mark.parametrize(
    ("header", "expected"), [("bytes=2-4", "cde"), ("bytes=7-", "hij"), ("bytes=-2", "ij")]
)
def test_a_range_is_read(place: Place, client: Any, header: str, expected: str) -> None:
    at = {"Bucket": place.bucket, "Key": "range"}
    client.put_object(**at, Body=b"abcdefghij")
    found = client.get_object(**at, Range=header)
    assert found["Body"].read().decode() == expected
    assert found["ContentRange"].endswith("/10")
    assert refused(client.get_object, **at, Range="bytes=10-") == (416, "InvalidRange")


def test_a_checksum_is_returned_if_asked_for(place: Place, client: Any) -> None:
    at = {"Bucket": place.bucket, "Key": "checksum"}
    sent = client.put_object(**at, Body=b"123456789", ChecksumAlgorithm="CRC32")
    assert sent["ChecksumCRC32"] == "y/Q5Jg=="
    assert client.get_object(**at, ChecksumMode="ENABLED")["ChecksumCRC32"] == "y/Q5Jg=="


def test_conditions_are_honoured(place: Place, client: Any) -> None:
    at = {"Bucket": place.bucket, "Key": "condition"}
    failed = (412, "PreconditionFailed")
    etag = client.put_object(**at, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(client.put_object, **at, Body=b"2", IfNoneMatch="*") == failed
    client.put_object(**at, Body=b"3", IfMatch=etag)
    assert refused(client.put_object, **at, Body=b"4", IfMatch=etag) == failed
    assert refused(client.get_object, **at, IfMatch=etag) == failed


def test_a_value_is_uploaded_in_parts(place: Place, client: Any) -> None:
    at = {"Bucket": place.bucket, "Key": "parts"}
    upload = {**at, "UploadId": client.create_multipart_upload(**at)["UploadId"]}
    parts = [
        {"PartNumber": n, "ETag": client.upload_part(**upload, PartNumber=n, Body=body)["ETag"]}
        for n, body in ((2, b"defg"), (1, b"abc"))
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts[::-1]})
    assert client.get_object(**at)["Body"].read() == b"abcdefg"
    assert client.get_object(**at, Range="bytes=2-4")["Body"].read() == b"cde"


def test_keys_are_listed_in_pages(client: Any) -> None:
    client.create_bucket(Bucket="pages")
    keys = sorted(f"{number % 2}/{number}" for number in range(1005))
    for key in keys:
        client.put_object(Bucket="pages", Key=key)
    pages = list(client.get_paginator("list_objects_v2").paginate(Bucket="pages"))
    assert [len(page["Contents"]) for page in pages] == [1000, 5]
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
    found = client.list_objects_v2(Bucket="pages", Delimiter="/")
    assert [one["Prefix"] for one in found["CommonPrefixes"]] == ["0/", "1/"]
    client.delete_objects(Bucket="pages", Delete={"Objects": [{"Key": key} for key in keys[:1000]]})
    left = client.list_objects_v2(Bucket="pages")["Contents"]
    assert [entry["Key"] for entry in left] == keys[1000:]


def test_missing_things_are_errors(place: Place, client: Any) -> None:
    assert refused(client.get_object, Bucket=place.bucket, Key="none") == (404, "NoSuchKey")
    assert refused(client.get_object, Bucket="none", Key="none") == (404, "NoSuchBucket")


def test_the_certificate_is_of_the_run() -> None:
    with place_on("cheap") as one, place_on("cheap") as other:
        assert isinstance(one.endpoint, S3Endpoint)
        assert one.ca != other.ca
        stranger = S3Endpoint("cheap", one.endpoint.url, "k", "s", False, other.ca)
        with closing(stranger.client()) as client, pytest.raises(SSLError):
            client.list_buckets()
