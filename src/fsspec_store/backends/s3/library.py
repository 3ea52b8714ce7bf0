"""Answers of s3fs to S3's calls, in the form of `fsspec_store.backends.s3.lanes`.

botocore takes most documents for an answer, and bodies without an end for whole ones: what is no
answer of S3's raises here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions

from ..large_reads import LARGE_BYTES
from .answers import check_end
from .checksums import ChecksumError, stated_checksum
from .documents import last_name
from .foreign import check_is_value

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_bytes", "is_version_1", "understood", "version_1"]

#: Calls whose answers have no body.
_WITHOUT_DOCUMENT = frozenset({"delete_object", "put_object", "upload_part"})
#: What an answer with a document says, where botocore takes any for one, or none at all.
_SAID = {"complete_multipart_upload": "ETag", "create_multipart_upload": "UploadId"}
#: What is read of s3fs's streams in one go.
_READ_BYTES = 2**20


async def understood(
    method: str, params: Mapping[str, Any], response: dict[str, Any]
) -> dict[str, Any]:
    """An answer in another form.

    Parameters
    ----------
    method : str
        botocore's name of the call.
    params : mapping
        Of the call.
    response : dict
        What s3fs returned.

    Raises
    ------
    OSError
        When it is no answer of S3's.
    """
    if method == "get_object":
        return await _with_body(response, params)
    if method == "list_objects_v2":
        return _page(response)
    if method in _WITHOUT_DOCUMENT:
        _check_bodiless(response)
    if method == "head_object":
        metadata = response["ResponseMetadata"]
        check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"])
        return {"ContentLength": None, **response}
    if method == "delete_objects" and not response.keys() & {"Deleted", "Errors"}:
        raise ConnectionError("unexpected response: the server does not speak S3")
    if (said := _SAID.get(method)) is not None and said not in response:
        # Whether it was done is as open as after a lost answer.
        raise ConnectionError("what answered was not S3")
    return response


def is_version_1(response: Mapping[str, Any]) -> bool:
    """Whether an answer to ListObjectsV2 is a page of ListObjects that has another after it."""
    return bool(response.get("IsTruncated")) and not response.get("NextContinuationToken")


class _S3fsStream:
    """A large body that s3fs reads."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def read_into(self, sink: memoryview) -> None:
        filled = 0
        while filled < sink.nbytes:
            data = await self._body.read(min(_READ_BYTES, sink.nbytes - filled))
            if not data:
                raise aiohttp.ClientPayloadError("the body broke off")
            sink[filled : filled + len(data)] = data
            filled += len(data)

    def close(self) -> None:
        self._body.close()


async def _with_body(response: dict[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    body, into = response["Body"], params.get("Into")
    metadata = response.get("ResponseMetadata", {})
    try:
        if metadata.get("HTTPStatusCode") not in (200, 206):
            status = metadata.get("HTTPStatusCode")
            raise OSError(f"what answered with the status {status} was not S3")
        check_end(metadata["HTTPHeaders"])
        check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"])
    except OSError:
        body.close()
        raise
    response = {
        "ContentRange": response.get("ContentRange"),
        "ContentLength": response.get("ContentLength"),
        "ETag": response.get("ETag", ""),
        "ResponseMetadata": metadata,
        "Check": None,
    }
    if (response["ContentLength"] or 0) > LARGE_BYTES:
        if "Range" not in params:
            checksum = stated_checksum(metadata["HTTPHeaders"])
            response["Check"] = None if checksum is None else checksum.check_whole
        return {**response, "Body": _S3fsStream(body)}
    try:
        data = await body.read()
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        body.close()
    check_is_value(metadata["HTTPStatusCode"], metadata["HTTPHeaders"], data)
    if response["ContentLength"] is None:
        response["ContentLength"] = len(data)
    if into is not None and len(data) == into.nbytes:
        into[:] = data
        data = into
    return {**response, "Body": data}


def _check_bodiless(response: dict[str, Any]) -> None:
    """Raise for a page of somebody else's, which botocore would not look at."""
    length = response["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
    if length != "0" and "ETag" not in response:
        raise ConnectionError("what answered was not S3")


def _page(response: dict[str, Any]) -> dict[str, Any]:
    if "IsTruncated" not in response:
        raise OSError("what answered is no list of objects")
    try:
        objects = [(item["Key"], item.get("Size")) for item in response.get("Contents", ())]
        prefixes = [item["Prefix"] for item in response.get("CommonPrefixes", ())]
    except KeyError as missing:
        raise OSError(f"a list of objects came without {missing}") from missing
    following = None
    if response["IsTruncated"]:
        following = response.get("NextContinuationToken") or response.get("NextMarker")
        if not following and "KeyCount" not in response:
            following = last_name(objects, prefixes)
        if not following:
            raise OSError("a list of objects is truncated, and does not say where the next begins")
    return {"Objects": objects, "Prefixes": prefixes, "Next": following}


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
