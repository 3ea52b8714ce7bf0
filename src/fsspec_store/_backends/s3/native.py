"""The native transport of S3: signs and sends requests as the user configured s3fs.

It supports the frequent operations, and the responses that every service sends. s3fs sends the
requests whose configuration is unsupported, and repeats those whose response is unexpected. A
request is one attempt: retries and the limiter are elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from ..._http.content_range import content_length
from ..._http.http1.pool import Pool
from ..._http.messages import CONTROL_RESPONSE, Expected, LargeBody, Response, ResponseBody
from ..._http.parsing import parsed
from ..._http.unexpected_responses import unexpected_response
from ..._runtime.threads import in_thread
from ..checksums import crc32
from ..pages import stated_prefix
from . import requests
from .checksums import CHECKSUM_HEADERS, StatedChecksum, stated_checksum
from .copy_messages import copy_headers, copy_result
from .endpoints import METHODS, Endpoint, discover_endpoint
from .error_responses import UnexpectedResponseError, error_of
from .features import CHECKSUM_MODE, CHECKSUMS, LIST_V2
from .responses import (
    MAX_DOCUMENT_BYTES,
    DocumentTooLongError,
    UnreadableResponseError,
    check_has_length,
)
from .signing import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    Credentials,
    canonical_query,
    payload_hash,
    quote_key,
)
from .supported import UnsupportedError, tls_context
from .unexpected_responses import check_is_value
from .xml import ListPage, delete_body, parse_delete, parse_error, parse_list

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from ..._http.retry_policy import RetryPolicy

__all__ = ["NativeTransport"]

T = TypeVar("T")

logger = logging.getLogger("fsspec_store.s3")

#: Checksums of longer bodies are computed in a thread, which takes 25 us of the event loop.
_CHECKED_HERE_BYTES = 2**18
#: Number of unexpected responses for a bucket after which s3fs sends all of its requests.
_MAX_UNEXPECTED = 3

_CRC32 = "x-amz-checksum-crc32"
_NO_BODY = Expected(no_body=True)

#: The endpoint of requests, and the botocore client that holds their credentials.
Target: TypeAlias = tuple[Endpoint, Any]
#: Sends a request to a target once, without the optional features that the service rejects.
_Method: TypeAlias = "Callable[[Target, Any, frozenset[str]], Awaitable[Any]]"


class NativeTransport:
    """Sends the supported requests of one s3fs filesystem on one event loop."""

    def __init__(self, fs: Any, policy: RetryPolicy, threads: int) -> None:
        self._fs = fs
        self._policy = policy
        self._pool = Pool(
            timeout=policy.timeout, connect_timeout=policy.connect_timeout, threads=threads
        )
        #: By bucket and method; ``None`` for requests that s3fs sends. `discover` adds to it.
        self.targets: dict[tuple[str, str], Target | None] = {}
        self._unexpected: Counter[str] = Counter()
        #: Buckets whose requests s3fs sends.
        self._by_s3fs: set[str] = set()
        #: The reason for a second discovery by bucket, and the locations before it by method.
        self._moved: dict[str, tuple[UnexpectedResponseError, dict[str, Any]]] = {}
        self._discovering = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None
        #: They raise `UnexpectedResponseError` if s3fs has to repeat the request, and the errors
        #: that s3fs raises.
        self.methods: dict[str, _Method] = {
            "get_object": self._get_object,
            "head_object": self._head_object,
            "put_object": self._put_object,
            "upload_part": self._upload_part,
            "copy_object": self._copy_object,
            "upload_part_copy": self._upload_part_copy,
            "delete_object": self._delete_object,
            "delete_objects": self._delete_objects,
            "list_objects_v2": self._list_objects,
        }

    def fell_back(
        self, bucket: str, method: str, target: Target, reason: UnexpectedResponseError
    ) -> None:
        """Record that s3fs succeeded after an unexpected response.

        A single one may be from a proxy. After a permanent one the endpoints are discovered again,
        since s3fs may have found the bucket's region. If it repeats, s3fs sends all requests of the
        bucket.
        """
        if self.targets.get((bucket, method)) is not target:
            # Another request in flight has recorded it.
            return
        if reason.permanent and bucket not in self._moved:
            targets = {each: self.targets.pop((bucket, each), None) for each in METHODS}
            locations = {each: found[0].location for each, found in targets.items() if found}
            self._moved[bucket] = reason, locations
            return
        self._unexpected[bucket] += 1
        if not reason.permanent and self._unexpected[bucket] < _MAX_UNEXPECTED:
            logger.info("a request to the S3 bucket %r went through s3fs: %s", bucket, reason)
            return
        self._leave_to_s3fs(bucket, reason)

    def _leave_to_s3fs(self, bucket: str, reason: UnexpectedResponseError) -> None:
        logger.info("requests to the S3 bucket %r go through s3fs: %s", bucket, reason)
        self._by_s3fs.add(bucket)
        for method in METHODS:
            self.targets[bucket, method] = None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    def close_now(self) -> None:
        """Close the connections without awaiting."""
        self._pool.close_now()

    # -- Operations ----------------------------------------------------------------------------

    async def _get_object(
        self, target: Target, request: requests.GetObject, unsupported: frozenset[str]
    ) -> Response[ResponseBody]:
        headers = {}
        if request.range is not None:
            headers["range"] = request.range
        elif CHECKSUM_MODE not in unsupported:
            headers[CHECKSUM_MODE] = "ENABLED"
        if request.if_match is not None:
            headers["if-match"] = request.if_match
        checksum: StatedChecksum | None = None

        def on_chunk(
            status: int, headers: Mapping[str, str]
        ) -> Callable[[memoryview], None] | None:
            nonlocal checksum
            if status == 200 and not CHECKSUM_HEADERS.isdisjoint(headers):
                checksum = stated_checksum(headers)
            return None if checksum is None else checksum.update

        response = await self._send(
            target,
            "GetObject",
            "GET",
            request.key,
            headers=headers,
            expected=Expected(
                False,
                request.unread_above,
                request.max_bytes,
                request.into,
                # Some services state the checksum of the whole object with a range.
                on_chunk if request.range is None else None,
                request.reserve,
            ),
        )
        status, received = response.status, response.headers
        if status not in (200, 206):
            raise error_of(response, "GetObject")
        if "content-length" not in received:
            check_has_length(received)
        if not received.get("etag"):
            check_is_value(status, received, response.body)
        if checksum is not None:
            checksum.verify()
        return response

    async def _head_object(
        self, target: Target, request: requests.HeadObject, unsupported: frozenset[str]
    ) -> requests.ObjectHead:
        sent = {} if request.if_match is None else {"if-match": request.if_match}
        response = await self._send(
            target, "HeadObject", "HEAD", request.key, headers=sent, expected=_NO_BODY
        )
        headers = response.headers
        length = content_length(headers)
        if length is None and "content-length" in headers:
            raise UnexpectedResponseError("an invalid Content-Length in response to a HEAD")
        if not headers.get("etag"):
            check_is_value(response.status, headers)
        return requests.ObjectHead(length, headers)

    async def _put_object(
        self, target: Target, request: requests.PutObject, unsupported: frozenset[str]
    ) -> str:
        headers = {f"x-amz-meta-{name}": value for name, value in (request.metadata or {}).items()}
        if request.if_none_match is not None:
            headers["if-none-match"] = request.if_none_match
        if request.if_match is not None:
            headers["if-match"] = request.if_match
        return await self._upload(target, "PutObject", request, "", headers, unsupported)

    async def _upload_part(
        self, target: Target, request: requests.UploadPart, unsupported: frozenset[str]
    ) -> requests.Part:
        upload = request.upload
        query = canonical_query({"partNumber": str(request.number), "uploadId": upload.id})
        headers: dict[str, str] = {}
        etag = await self._upload(target, "UploadPart", request, query, headers, unsupported)
        checksum = headers.get(_CRC32) if upload.algorithm == "CRC32" else None
        return requests.Part(request.number, etag, checksum)

    async def _upload(
        self,
        target: Target,
        operation: str,
        request: requests.PutObject | requests.UploadPart,
        query: str,
        headers: dict[str, str],
        unsupported: frozenset[str],
    ) -> str:
        """Send a body, add its checksum to the headers, and return the ETag."""
        body, endpoint = request.body, target[0]
        digest = None
        if endpoint.crc32 and CHECKSUMS not in unsupported:
            checksum = await _computed(crc32, body)
            headers[_CRC32] = base64.b64encode(checksum.to_bytes(4, "big")).decode()
            digest = UNSIGNED_PAYLOAD if endpoint.unsigned else None
        # A connection's own timeout begins when the body is sent.
        async with asyncio.timeout(self._policy.transfer_timeout(body.nbytes)):
            response = await self._send(
                target,
                operation,
                "PUT",
                request.key,
                query,
                headers=headers,
                body=body,
                digest=digest,
            )
        etag = response.headers.get("etag", "")
        if not etag and response.body:
            # Without a fallback: as after a lost response, the object may be written.
            raise UnreadableResponseError(unexpected_response("S3"))
        return etag

    async def _copy_object(
        self, target: Target, request: requests.CopyObject, unsupported: frozenset[str]
    ) -> None:
        await self._copy(target, "CopyObject", request)

    async def _upload_part_copy(
        self, target: Target, request: requests.UploadPartCopy, unsupported: frozenset[str]
    ) -> requests.Part:
        upload = request.upload
        query = canonical_query({"partNumber": str(request.number), "uploadId": upload.id})
        copied = await self._copy(target, "UploadPartCopy", request, query)
        return requests.Part(
            request.number, copied["ETag"], copied.get(f"Checksum{upload.algorithm}")
        )

    async def _copy(
        self,
        target: Target,
        operation: Literal["CopyObject", "UploadPartCopy"],
        request: requests.CopyObject | requests.UploadPartCopy,
        query: str = "",
    ) -> dict[str, str]:
        headers, body = copy_headers(request), memoryview(b"")
        response = await self._send(
            target, operation, "PUT", request.key, query, headers=headers, body=body
        )
        return copy_result(response, _document(response), operation)

    async def _delete_object(
        self, target: Target, request: requests.DeleteObject, unsupported: frozenset[str]
    ) -> None:
        response = await self._send(target, "DeleteObject", "DELETE", request.key)
        if response.body:
            raise UnreadableResponseError(unexpected_response("S3"))

    async def _delete_objects(
        self, target: Target, request: requests.DeleteObjects, unsupported: frozenset[str]
    ) -> list[dict[str, str]]:
        body = delete_body(request.keys)
        # Every service accepts MD5; some accept no other checksum.
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {
            "content-md5": base64.b64encode(digest).decode(),
            "content-type": "application/xml",
        }
        response = await self._send(
            target, "DeleteObjects", "POST", "", "delete=", headers=headers, body=memoryview(body)
        )
        document = _document(response)
        try:
            return await parsed(parse_delete, document)
        except ValueError as error:
            if document and not parse_error(document):
                # s3fs would read any document as one without errors.
                raise UnreadableResponseError(f"{unexpected_response('S3')}: {error}") from None
            raise UnexpectedResponseError(str(error)) from None

    async def _list_objects(
        self, target: Target, request: requests.ListObjectsV2, unsupported: frozenset[str]
    ) -> ListPage:
        query = {"encoding-type": "url", "prefix": request.prefix}
        if LIST_V2 in unsupported:
            token, start_after = "marker", "marker"
        else:
            token, start_after = "continuation-token", "start-after"
            query["list-type"] = "2"
        if request.delimiter is not None:
            query["delimiter"] = request.delimiter
        if request.max_keys is not None:
            query["max-keys"] = str(request.max_keys)
        if request.token is not None:
            query[token] = request.token
        if request.start_after is not None:
            query[start_after] = request.start_after
        response = await self._send(target, "ListObjectsV2", "GET", "", canonical_query(query))
        body = _document(response)
        try:
            page = await parsed(partial(parse_list, details=request.details), body)
        except ValueError as error:
            raise UnexpectedResponseError(str(error)) from None
        return page._replace(prefix=stated_prefix(body))

    async def _send(
        self,
        target: Target,
        operation: str,
        verb: str,
        key: str,
        query: str = "",
        *,
        headers: Mapping[str, str] = {},
        body: memoryview | None = None,
        digest: str | None = None,
        expected: Expected = CONTROL_RESPONSE,
    ) -> Response[ResponseBody]:
        """Sign and send a request, and raise for an error response.

        The signature covers this digest, by default that of the body.
        """
        endpoint, client = target
        length = "" if body is None else f"content-length: {body.nbytes}\r\n"
        path = endpoint.path + quote_key(key)
        if endpoint.signer is None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            signed = f"host: {endpoint.host}\r\n{lines}"
        else:
            if digest is None:
                digest = EMPTY_SHA256 if body is None else await _computed(payload_hash, body)
            # For each request: the provider may refresh them at any time.
            found = await client._request_signer._credentials.get_frozen_credentials()
            credentials = Credentials(found.access_key, found.secret_key, found.token)
            signed = endpoint.signer.sign(
                verb, path, query, endpoint.host, headers, digest, credentials
            )
        head = (
            f"{verb} {path}{'?' if query else ''}{query} HTTP/1.1\r\n{signed}{length}"
            f"accept-encoding: identity\r\nuser-agent: {endpoint.agent}\r\n\r\n"
        )
        response = await self._pool.request(endpoint.origin, head.encode("latin-1"), body, expected)
        if isinstance(response.body, LargeBody) and operation != "GetObject":
            response.body.stream.close()
            raise UnexpectedResponseError(f"a body of {response.body.size} bytes for {operation}")
        # As in botocore: services differ in their statuses.
        if not 200 <= response.status < 300:
            raise error_of(response, operation)
        return response

    async def discover(self, bucket: str, method: str) -> Target | None:
        """The target of a method's requests to a bucket; ``None`` if s3fs sends them."""
        if method not in METHODS:
            return None
        async with self._discovering:
            # One discovery for all requests that wait.
            if (bucket, method) in self.targets:
                return self.targets[bucket, method]
            try:
                target: Target | None = await discover_endpoint(
                    self._fs, bucket, method, self._tls_context
                )
            except UnsupportedError as reason:
                logger.info("%s of the S3 bucket %r goes through s3fs: %s", method, bucket, reason)
                target = None
            except Exception as error:
                # For example without credentials: s3fs raises the error, and later requests may
                # have some.
                logger.debug("s3fs made no %s for %r: %r", method, bucket, type(error))
                return None
            cause, before = self._moved.get(bucket, (None, {}))
            if (
                cause is not None
                and target is not None
                and before.get(method) == target[0].location
            ):
                self._leave_to_s3fs(bucket, cause)
            if bucket in self._by_s3fs:
                # Recorded here, or by another request meanwhile.
                target = None
            self.targets[bucket, method] = target
            return target

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await tls_context(self._fs)
        return self._tls


async def _computed(checksum: Callable[[memoryview], T], body: memoryview) -> T:
    """The checksum of a body."""
    is_small = body.nbytes <= _CHECKED_HERE_BYTES
    return checksum(body) if is_small else await in_thread(checksum, body)


def _document(response: Response[ResponseBody]) -> bytes:
    """The body, of the maximum size that s3fs reads too."""
    assert not isinstance(response.body, LargeBody)
    if len(response.body) > MAX_DOCUMENT_BYTES:
        raise DocumentTooLongError
    return bytes(response.body)
