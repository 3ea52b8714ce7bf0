"""Converts responses of s3fs to the results of the native transport.

botocore accepts most XML documents as a success, and bodies without a stated length as complete.
Such responses raise here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import botocore.exceptions

from ..._http.content_range import stated_size
from ..._http.messages import BodyTooLongError, LargeBody, Response, ResponseBody
from ..._http.retry_policy import RetryPolicy, too_slow
from ..._http.unexpected_responses import unexpected_response
from ..listed_details import etag, in_utc
from ..pages import Details
from . import requests
from .checksums import ChecksumError
from .responses import UnreadableResponseError, check_has_length
from .unexpected_responses import check_is_value
from .xml import ListPage, last_name

__all__ = ["result_of"]

#: Maximum number of bytes per read of a stream of s3fs.
_READ_BYTES = 2**20


async def result_of(
    request: requests.Request[Any], response: dict[str, Any], policy: RetryPolicy
) -> Any:
    """The result of a request; raises ``OSError`` when the response is not from an S3 service."""
    match request:
        case requests.GetObject():
            return await _object(response, request, policy)
        case requests.HeadObject():
            metadata = response["ResponseMetadata"]
            check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"])
            return requests.ObjectHead(response.get("ContentLength"), metadata["HTTPHeaders"])
        case requests.PutObject():
            _check_no_body(response)
            return response.get("ETag", "")
        case requests.DeleteObject():
            _check_no_body(response)
        case requests.UploadPart(number=number, upload=upload):
            _check_no_body(response)
            checksum = response.get(f"Checksum{upload.algorithm}")
            return requests.Part(number, response.get("ETag", ""), checksum)
        case requests.CopyObject():
            _require(response.get("CopyObjectResult", {}), "ETag")
        case requests.UploadPartCopy(number=number, upload=upload):
            copied = response.get("CopyPartResult", {})
            _require(copied, "ETag")
            return requests.Part(number, copied["ETag"], copied.get(f"Checksum{upload.algorithm}"))
        case requests.DeleteObjects():
            if not response.keys() & {"Deleted", "Errors"}:
                raise UnreadableResponseError(unexpected_response("S3"))
            return response.get("Errors", [])
        case requests.ListObjectsV2():
            return _page(response, details=request.details)
        case requests.CreateMultipartUpload():
            _require(response, "UploadId")
            return requests.MultipartUpload(response["UploadId"], response.get("ChecksumAlgorithm"))
        case requests.CompleteMultipartUpload():
            _require(response, "ETag")
            return response["ETag"]
        case requests.ListMultipartUploads():
            return _uploads_page(response)
        case requests.ListParts():
            return _parts_page(response)
    return None


class _S3fsStream:
    """A body that is read through s3fs."""

    def __init__(self, body: Any, policy: RetryPolicy) -> None:
        self._body = body
        self._policy = policy

    async def read_into(self, sink: memoryview) -> None:
        filled = 0
        began = time.monotonic()
        while filled < sink.nbytes:
            data = await self._next(min(_READ_BYTES, sink.nbytes - filled), began, filled)
            if not data:
                raise aiohttp.ClientPayloadError("the body broke off")
            sink[filled : filled + len(data)] = data
            filled += len(data)

    async def read_up_to(self, longest: int) -> bytes:
        """The whole body; `BodyTooLongError` if it has more than `longest` bytes."""
        chunks: list[bytes] = []
        size = 0
        began = time.monotonic()
        while data := await self._next(_READ_BYTES, began, size):
            chunks.append(data)
            size += len(data)
            if size > longest:
                raise BodyTooLongError(longest)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _next(self, max_bytes: int, began: float, received: int) -> bytes:
        # aiohttp limits the time between two chunks, but requires no minimum rate.
        deadline = began + self._policy.transfer_timeout(0, received) + self._policy.timeout
        try:
            async with asyncio.timeout(deadline - time.monotonic()) as limit:
                chunk: bytes = await self._body.read(max_bytes)
                return chunk
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise too_slow(received, time.monotonic() - began) from error

    def close(self) -> None:
        self._body.close()


async def _object(
    response: dict[str, Any], request: requests.GetObject, policy: RetryPolicy
) -> Response[ResponseBody]:
    stream = _S3fsStream(response["Body"], policy)
    is_open = False
    try:
        found = await _read(response, request, stream)
        is_open = isinstance(found.body, LargeBody)
        return found
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        if not is_open:
            stream.close()


async def _read(
    response: dict[str, Any], request: requests.GetObject, stream: _S3fsStream
) -> Response[ResponseBody]:
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    if status not in (200, 206):
        raise OSError(f"{unexpected_response('S3')}: status {status}")
    headers = metadata["HTTPHeaders"]
    check_has_length(headers)
    check_is_value(status, headers)
    length = response.get("ContentLength")
    if length is not None and length > request.unread_above:
        return Response(status, headers, LargeBody(stream, length))
    if length is not None and request.into is None:
        request.reserve(length)
    max_bytes = request.max_bytes(status) if length is None else length
    data: bytes | memoryview = await stream.read_up_to(max_bytes)
    if length not in (len(data), None):
        raise aiohttp.ClientPayloadError(f"received {len(data)} of {length} bytes of the body")
    check_is_value(status, headers, data)
    if request.into is not None and len(data) == request.into.nbytes:
        request.into[:] = data
        data = request.into
    return Response(status, headers, data)


def _check_no_body(response: dict[str, Any]) -> None:
    """Raise for a body, which botocore ignores: it is from a server that does not speak S3."""
    length = response["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
    if length != "0" and "ETag" not in response:
        raise UnreadableResponseError(unexpected_response("S3"))


def _require(response: dict[str, Any], element: str) -> None:
    """Raise if an element is missing, which botocore accepts.

    As after a lost response, it is unknown whether the request had an effect.
    """
    if element not in response:
        raise UnreadableResponseError(unexpected_response("S3"))


def _page(response: dict[str, Any], *, details: bool) -> ListPage:
    if "IsTruncated" not in response:
        raise OSError(f"{unexpected_response('S3')}: no listing")
    try:
        objects = [
            (item["Key"], None if "Size" not in item else stated_size(item["Size"], item["Key"]))
            for item in response.get("Contents", ())
        ]
        prefixes = [item["Prefix"] for item in response.get("CommonPrefixes", ())]
    except KeyError as missing:
        raise OSError(f"the listing has an entry without {missing}") from missing
    for name in [*(key for key, _ in objects), *prefixes]:
        # botocore parses a repeated element as a list.
        if not isinstance(name, str):
            raise OSError(f"the listing has an invalid name: {name!r:.80}")
    next_token = None
    is_version_1 = False
    if response["IsTruncated"]:
        next_token = response.get("NextContinuationToken")
        is_version_1 = not next_token
        next_token = next_token or response.get("NextMarker")
        if not next_token and "KeyCount" not in response:
            next_token = last_name(objects, prefixes)
        if not next_token:
            raise OSError("the listing is truncated, and has no token for the next page")
    found = {}
    if details:
        found = {
            item["Key"]: Details(in_utc(item.get("LastModified")), etag(item.get("ETag")))
            for item in response.get("Contents", ())
        }
    prefix = response.get("Prefix", "")
    return ListPage(objects, prefixes, next_token, is_version_1, prefix, found)


def _uploads_page(response: dict[str, Any]) -> requests.UploadsPage:
    uploads = []
    for entry in response.get("Uploads", ()):
        key, upload_id = entry.get("Key"), entry.get("UploadId")
        if not isinstance(key, str) or not isinstance(upload_id, str):
            raise OSError(
                f"the list of uploads has an invalid entry: key {key!r:.80}, "
                f"UploadId {upload_id!r:.80}"
            )
        uploads.append(requests.UnfinishedUpload(key, upload_id, entry.get("Initiated")))
    markers = None
    if response.get("IsTruncated"):
        markers = response.get("NextKeyMarker", ""), response.get("NextUploadIdMarker", "")
    return requests.UploadsPage(uploads, markers)


def _parts_page(response: dict[str, Any]) -> requests.PartsPage:
    # A completion states the checksums of parts only if they make up that of the object.
    is_composite = response.get("ChecksumType") != "FULL_OBJECT"
    algorithm = (response.get("ChecksumAlgorithm") or None) if is_composite else None
    parts = [
        requests.StoredPart(
            requests.Part(entry["PartNumber"], entry["ETag"], entry.get(f"Checksum{algorithm}")),
            entry["Size"],
        )
        for entry in response.get("Parts", ())
        if entry.keys() >= {"PartNumber", "ETag", "Size"}
    ]
    marker = response.get("NextPartNumberMarker") if response.get("IsTruncated") else None
    return requests.PartsPage(parts, algorithm, marker)
