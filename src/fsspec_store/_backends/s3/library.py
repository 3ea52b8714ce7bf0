"""The s3fs transport: sends the S3 requests that the native transport does not support."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from ..._http.aiohttp_sessions import close_now, without_own_retries
from . import requests
from .bounded import bound_session
from .features import CHECKSUM_MODE, CHECKSUMS, LIST_V2
from .library_responses import result_of
from .unexpected_responses import not_s3, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._http.retry_policy import RetryPolicy

__all__ = ["LibraryTransport", "http_sessions", "secrets_of"]

T = TypeVar("T")

#: More than the size of a page of 1,000 keys in bytes.
_PAGE_BYTES = 2**20
_COMPLETION_SECONDS = 900.0
_CALCULATION = "request_checksum_calculation"
#: botocore's parameters by field of a request.
_PARAMETERS = {
    "bucket": "Bucket",
    "key": "Key",
    "range": "Range",
    "if_match": "IfMatch",
    "if_none_match": "IfNoneMatch",
    "metadata": "Metadata",
    "number": "PartNumber",
    "marker": "PartNumberMarker",
    "prefix": "Prefix",
    "delimiter": "Delimiter",
    "max_keys": "MaxKeys",
    "token": "ContinuationToken",
    "start_after": "StartAfter",
    "source_range": "CopySourceRange",
    "source_if_match": "CopySourceIfMatch",
}


class LibraryTransport:
    """Sends requests by an s3fs filesystem on one event loop."""

    def __init__(self, fs: Any, policy: RetryPolicy) -> None:
        #: Set when the sessions are closed: a request in flight closes the ones that it opens.
        self.closed = False
        self._fs = fs
        self._policy = policy
        #: The configured calculation of checksums, by the configuration of a client.
        self._calculation: dict[Any, str] = {}

    async def send(self, request: requests.Request[T], unsupported: frozenset[str]) -> T:
        """Send a request once, without the optional features that the service rejects."""
        for session in http_sessions(self._fs):
            # s3fs creates them one by one.
            bound_session(without_own_retries(session))
        method, params = request.method, self._parameters(request, unsupported)
        if isinstance(request, requests.ListObjectsV2) and LIST_V2 in unsupported:
            method = "list_objects"
        await self._set_checksums(request.bucket, CHECKSUMS not in unsupported)
        seconds = self._max_seconds(request, len(params.get("Body", b"")))
        try:
            async with asyncio.timeout(seconds) as limit:
                # Older releases of s3fs do not add the parameter of requester-pays buckets.
                response = await self._fs._call_s3(method, self._fs.req_kw, **params)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"no complete response for {seconds:g} s") from error
        except Exception as error:
            has_body = not isinstance(request, requests.HeadObject | requests.HeadBucket)
            if has_body and (foreign := not_s3(error)) is not None:
                raise foreign from None
            if (unread := unreadable(error)) is not None:
                raise unread from error
            raise
        finally:
            if self.closed:
                for session in http_sessions(self._fs):
                    close_now(session)
        result: T = await result_of(request, response, self._policy)
        return result

    def _parameters(
        self, request: requests.Request[Any], unsupported: frozenset[str]
    ) -> dict[str, Any]:
        """Botocore's parameters of a request."""
        params = {
            name: value
            for field, name in _PARAMETERS.items()
            if (value := getattr(request, field, None)) is not None
        }
        if "Metadata" in params:
            # s3fs would leave out the metadata of all objects of this filesystem.
            of_all = getattr(self._fs, "s3_additional_kwargs", {}).get("Metadata", {})
            params["Metadata"] = {**of_all, **params["Metadata"]}
        if (body := getattr(request, "body", None)) is not None:
            params["Body"] = _as_bytes(body)
        if (upload := getattr(request, "upload", None)) is not None:
            params["UploadId"] = upload.id
        params.update(getattr(request, "content", None) or {})
        match request:
            case (
                requests.CopyObject(source=(bucket, key))
                | requests.UploadPartCopy(source=(bucket, key))
            ):
                params["CopySource"] = {"Bucket": bucket, "Key": key}
                params.update(_keys_of_source(self._fs))
            case requests.GetObject(range=None) if CHECKSUM_MODE not in unsupported:
                params["ChecksumMode"] = "ENABLED"
            case requests.DeleteObjects(keys=keys):
                # The response to a quiet request is empty, and botocore accepts any document as
                # an empty one.
                params["Delete"] = {"Objects": [{"Key": key} for key in keys], "Quiet": False}
            case requests.ListObjectsV2() if LIST_V2 in unsupported:
                for name in ("ContinuationToken", "StartAfter"):
                    if name in params:
                        params["Marker"] = params.pop(name)
            case requests.CompleteMultipartUpload(parts=parts, upload=upload):
                elements = [
                    {
                        "PartNumber": part.number,
                        "ETag": part.etag,
                        f"Checksum{upload.algorithm}": part.checksum,
                    }
                    for part in parts
                ]
                params["MultipartUpload"] = {
                    "Parts": [
                        {name: value for name, value in element.items() if value}
                        for element in elements
                    ]
                }
            case requests.ListMultipartUploads(markers=markers) if markers is not None:
                params["KeyMarker"], params["UploadIdMarker"] = markers
        return params

    async def _set_checksums(self, bucket: str, wanted: bool) -> None:
        """Have botocore send checksums of uploads as configured by the user, or none."""
        if wanted and not self._calculation:
            return
        config = getattr((await self._fs.get_s3(bucket)).meta, "config", None)
        # Releases of botocore before this option send no checksums by default.
        configured = getattr(config, _CALCULATION, None)
        if configured is not None:
            configured = self._calculation.setdefault(config, configured)
            setattr(config, _CALCULATION, configured if wanted else "when_required")

    def _max_seconds(self, request: requests.Request[Any], sent: int) -> float:
        """Maximum duration of a request, without the time for the body of a value.

        aiohttp's timeouts limit pauses, and begin when the request is sent. s3fs may have to look
        up credentials before, or repeat the request in another region.
        """
        if isinstance(request, requests.CompleteMultipartUpload):
            # S3 sends white space while it joins the parts (S3 API Reference,
            # "CompleteMultipartUpload").
            return max(_COMPLETION_SECONDS, self._policy.timeout)
        has_document = isinstance(
            request,
            requests.ListObjectsV2
            | requests.ListMultipartUploads
            | requests.ListParts
            | requests.DeleteObjects,
        )
        received = _PAGE_BYTES if has_document else 0
        return self._policy.timeout + self._policy.transfer_timeout(sent, received)


def secrets_of(fs: Any) -> set[str]:
    """The secret key and session token that an s3fs filesystem signs requests with."""
    signer = getattr(getattr(fs, "_s3", None), "_request_signer", None)
    credentials = getattr(signer, "_credentials", None)
    # Refreshable credentials have the current ones in other attributes.
    names = ("secret_key", "token", "_secret_key", "_token")
    held = {} if credentials is None else vars(credentials)
    return {text for name in names if isinstance(text := held.get(name), str)}


def http_sessions(fs: Any) -> Iterator[Any]:
    """The open aiohttp sessions of an s3fs filesystem."""
    creator = getattr(fs, "_s3creator", None)
    clients = [getattr(fs, "_s3", None), *getattr(creator, "_regions", {}).values()]
    for client in clients:
        http = getattr(getattr(client, "_endpoint", None), "http_session", None)
        yield from (getattr(http, "_sessions", None) or {}).values()


def _keys_of_source(fs: Any) -> dict[str, Any]:
    """The parameters that decrypt the source of a copy with the user's own keys (SSE-C)."""
    options = getattr(fs, "s3_additional_kwargs", None) or {}
    return {
        f"CopySource{name}": value
        for name, value in options.items()
        if name.startswith("SSECustomer")
    }


def _as_bytes(data: bytes | memoryview) -> bytes:
    """`data` as ``bytes``, without a copy if possible: botocore accepts no views."""
    whole = data.obj if isinstance(data, memoryview) else data
    if isinstance(whole, bytes) and len(whole) == len(data):
        return whole
    return bytes(data)
