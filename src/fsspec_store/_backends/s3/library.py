"""Converts responses of s3fs to the form of `fsspec_store._backends.s3.transports`.

botocore accepts most XML documents as a success, and bodies without a stated length as complete.
Such responses raise here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions

from ..._http.content_range import stated_size
from ..._http.http1.response import CONTROL_BYTES, BodyTooLongError, max_control_bytes
from ..._http.retry_policy import too_slow
from ..._http.unexpected_responses import unexpected_response
from .checksums import ChecksumError, stated_checksum
from .foreign import check_is_value
from .responses import check_has_length
from .xml import last_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._http.retry_policy import RetryPolicy

__all__ = ["as_bytes", "is_version_1", "to_native_form", "version_1_params"]

#: Calls whose responses have no body.
_NO_BODY = frozenset({"delete_object", "put_object", "upload_part"})
#: An element that the response has to have. botocore does not require it.
_REQUIRED = {"complete_multipart_upload": "ETag", "create_multipart_upload": "UploadId"}
#: Maximum number of bytes per read of a stream of s3fs.
_READ_BYTES = 2**20


async def to_native_form(
    method: str, params: Mapping[str, Any], response: dict[str, Any], policy: RetryPolicy
) -> dict[str, Any]:
    """A response of s3fs in the form of the native transport.

    Parameters
    ----------
    method : str
        botocore's name of the call.
    params : mapping
        Parameters of the call.
    response : dict
        Returned by s3fs.
    policy : RetryPolicy
        Minimum rate of a body.

    Raises
    ------
    OSError
        When the response is not from an S3 service.
    """
    if method == "get_object":
        return await _with_body(response, params, policy)
    if method == "list_objects_v2":
        return _page(response)
    if method in _NO_BODY:
        _check_no_body(response)
    if method == "head_object":
        metadata = response["ResponseMetadata"]
        check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"])
        return {"ContentLength": None, **response}
    if method == "delete_objects" and not response.keys() & {"Deleted", "Errors"}:
        raise ConnectionError(unexpected_response("S3"))
    if (element := _REQUIRED.get(method)) is not None and element not in response:
        # As after a lost response, it is unknown whether the call had an effect.
        raise ConnectionError(unexpected_response("S3"))
    return response


def is_version_1(response: Mapping[str, Any]) -> bool:
    """Whether a response to ListObjectsV2 is a truncated page of ListObjects."""
    return bool(response.get("IsTruncated")) and not response.get("NextContinuationToken")


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


async def _with_body(
    response: dict[str, Any], params: Mapping[str, Any], policy: RetryPolicy
) -> dict[str, Any]:
    body = response["Body"]
    is_open = False
    try:
        found = await _read(response, params, _S3fsStream(body, policy))
        is_open = isinstance(found["Body"], _S3fsStream)
        return found
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        if not is_open:
            body.close()


async def _read(
    response: dict[str, Any], params: Mapping[str, Any], stream: _S3fsStream
) -> dict[str, Any]:
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    if status not in (200, 206):
        raise OSError(f"{unexpected_response('S3')}: status {status}")
    check_has_length(metadata["HTTPHeaders"])
    check_is_value(status, metadata["HTTPHeaders"])
    found = {
        "ContentRange": response.get("ContentRange"),
        "ContentLength": response.get("ContentLength"),
        "ETag": response.get("ETag", ""),
        "ResponseMetadata": metadata,
        "Check": None,
    }
    length = found["ContentLength"]
    if length is not None and length > params.get("WholeUpTo", CONTROL_BYTES):
        if "Range" not in params:
            checksum = stated_checksum(metadata["HTTPHeaders"])
            found["Check"] = None if checksum is None else checksum.verify_whole
        return {**found, "Body": stream}
    longest = params.get("Longest", max_control_bytes)(status) if length is None else length
    data: bytes | memoryview = await stream.read_up_to(longest)
    check_is_value(status, metadata["HTTPHeaders"], data)
    if length is None:
        found["ContentLength"] = len(data)
    into = params.get("Into")
    if into is not None and len(data) == into.nbytes:
        into[:] = data
        data = into
    return {**found, "Body": data}


def _check_no_body(response: dict[str, Any]) -> None:
    """Raise for a body, which botocore ignores: it is from a server that does not speak S3."""
    length = response["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
    if length != "0" and "ETag" not in response:
        raise ConnectionError(unexpected_response("S3"))


def _page(response: dict[str, Any]) -> dict[str, Any]:
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
    if response["IsTruncated"]:
        next_token = response.get("NextContinuationToken") or response.get("NextMarker")
        if not next_token and "KeyCount" not in response:
            next_token = last_name(objects, prefixes)
        if not next_token:
            raise OSError("the listing is truncated, and has no token for the next page")
    return {
        "Objects": objects,
        "Prefixes": prefixes,
        "Next": next_token,
        "Answered": response.get("Prefix", ""),
    }


def version_1_params(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of ListObjects that correspond to those of ListObjectsV2."""
    names = {"ContinuationToken": "Marker", "StartAfter": "Marker"}
    return {names.get(name, name): value for name, value in params.items()}


def as_bytes(data: bytes | memoryview) -> bytes:
    """`data` as ``bytes``, without a copy if possible: botocore accepts no views."""
    whole = data.obj if isinstance(data, memoryview) else data
    if isinstance(whole, bytes) and len(whole) == len(data):
        return whole
    return bytes(data)
