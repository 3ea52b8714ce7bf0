"""Answers of s3fs to S3's calls, in the form of `fsspec_store._backends.s3.transports`.

botocore takes most documents for an answer, and bodies without an end for whole ones: what is no
answer of S3's raises here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions

from ..._http.content_range import stated_size
from ..._http.http1.connection import CONTROL_BYTES, BodyTooLongError, max_control_bytes
from ..._http.retry_policy import too_slow
from ..._http.unexpected_responses import unexpected_response
from .checksums import ChecksumError, stated_checksum
from .foreign import check_is_value
from .responses import check_end
from .xml import last_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._http.retry_policy import RetryPolicy

__all__ = ["as_bytes", "is_version_1", "understood", "version_1"]

#: Calls whose answers have no body.
_WITHOUT_DOCUMENT = frozenset({"delete_object", "put_object", "upload_part"})
#: What an answer with a document says, where botocore takes any for one, or none at all.
_SAID = {"complete_multipart_upload": "ETag", "create_multipart_upload": "UploadId"}
#: What is read of s3fs's streams in one go.
_READ_BYTES = 2**20


async def understood(
    method: str, params: Mapping[str, Any], response: dict[str, Any], policy: RetryPolicy
) -> dict[str, Any]:
    """An answer of s3fs, in the form of the native transport.

    Parameters
    ----------
    method : str
        botocore's name of the call.
    params : mapping
        Of the call.
    response : dict
        What s3fs returned.
    policy : RetryPolicy
        Minimum rate of a body.

    Raises
    ------
    OSError
        When it is no answer of S3's.
    """
    if method == "get_object":
        return await _with_body(response, params, policy)
    if method == "list_objects_v2":
        return _page(response)
    if method in _WITHOUT_DOCUMENT:
        _check_bodiless(response)
    if method == "head_object":
        metadata = response["ResponseMetadata"]
        check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"])
        return {"ContentLength": None, **response}
    if method == "delete_objects" and not response.keys() & {"Deleted", "Errors"}:
        raise ConnectionError(unexpected_response("S3"))
    if (said := _SAID.get(method)) is not None and said not in response:
        # As after a lost response, it is unknown whether it was done.
        raise ConnectionError(unexpected_response("S3"))
    return response


def is_version_1(response: Mapping[str, Any]) -> bool:
    """Whether an answer to ListObjectsV2 is a page of ListObjects that has another after it."""
    return bool(response.get("IsTruncated")) and not response.get("NextContinuationToken")


class _S3fsStream:
    """A body that s3fs reads."""

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
        """All of it; `BodyTooLongError` when it has more than so many bytes."""
        pieces: list[bytes] = []
        size = 0
        began = time.monotonic()
        while data := await self._next(_READ_BYTES, began, size):
            pieces.append(data)
            size += len(data)
            if size > longest:
                raise BodyTooLongError(longest)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self, most: int, began: float, came: int) -> bytes:
        # aiohttp bounds the time between two pieces, and not their size.
        due = began + self._policy.transfer_timeout(0, came) + self._policy.timeout
        try:
            async with asyncio.timeout(due - time.monotonic()) as limit:
                piece: bytes = await self._body.read(most)
                return piece
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise too_slow(came, time.monotonic() - began) from error

    def close(self) -> None:
        self._body.close()


async def _with_body(
    response: dict[str, Any], params: Mapping[str, Any], policy: RetryPolicy
) -> dict[str, Any]:
    body = response["Body"]
    is_left_open = False
    try:
        found = await _read(response, params, _S3fsStream(body, policy))
        is_left_open = isinstance(found["Body"], _S3fsStream)
        return found
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        if not is_left_open:
            body.close()


async def _read(
    response: dict[str, Any], params: Mapping[str, Any], stream: _S3fsStream
) -> dict[str, Any]:
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    if status not in (200, 206):
        raise OSError(f"{unexpected_response('S3')}: status {status}")
    check_end(metadata["HTTPHeaders"])
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
            found["Check"] = None if checksum is None else checksum.check_whole
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


def _check_bodiless(response: dict[str, Any]) -> None:
    """Raise for a page of another server, which botocore does not look at."""
    length = response["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
    if length != "0" and "ETag" not in response:
        raise ConnectionError(unexpected_response("S3"))


def _page(response: dict[str, Any]) -> dict[str, Any]:
    if "IsTruncated" not in response:
        raise OSError(f"{unexpected_response('S3')}: no list of objects")
    try:
        objects = [
            (item["Key"], None if "Size" not in item else stated_size(item["Size"], item["Key"]))
            for item in response.get("Contents", ())
        ]
        prefixes = [item["Prefix"] for item in response.get("CommonPrefixes", ())]
    except KeyError as missing:
        raise OSError(f"a list of objects came without {missing}") from missing
    for name in [*(key for key, _ in objects), *prefixes]:
        # An element that comes twice becomes a list.
        if not isinstance(name, str):
            raise OSError(f"a list of objects has a name that is none: {name!r:.80}")
    following = None
    if response["IsTruncated"]:
        following = response.get("NextContinuationToken") or response.get("NextMarker")
        if not following and "KeyCount" not in response:
            following = last_name(objects, prefixes)
        if not following:
            raise OSError("a list of objects is truncated, and does not say where the next begins")
    return {
        "Objects": objects,
        "Prefixes": prefixes,
        "Next": following,
        "Answered": response.get("Prefix", ""),
    }


def version_1(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of ListObjects, for those of ListObjectsV2."""
    names = {"ContinuationToken": "Marker", "StartAfter": "Marker"}
    return {names.get(name, name): value for name, value in params.items()}


def as_bytes(data: bytes | memoryview) -> bytes:
    """The view as ``bytes``, which is all botocore takes for a body that can be sent again."""
    whole = data.obj if isinstance(data, memoryview) else data
    if isinstance(whole, bytes) and len(whole) == len(data):
        return whole
    return bytes(data)
