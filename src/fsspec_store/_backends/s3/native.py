"""The native transport of S3: signs and sends requests as the user's s3fs is configured to.

Supports the calls that matter for speed, and the responses that every service sends. s3fs makes the
calls whose configuration is unsupported, and repeats those whose response is unexpected. A call is
one attempt: retries and the limiter are elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._http.content_range import content_length
from ..._http.http1.pool import Pool
from ..._http.http1.response import CONTROL_BYTES, max_control_bytes
from ..._http.parsing import parsed
from ..._http.unexpected_responses import unexpected_response
from ..._runtime.threads import in_thread
from ..pages import answered_prefix
from .checksums import crc32, stated_checksum
from .endpoints import METHODS, Endpoint, discover_endpoint
from .error_responses import UnexpectedResponseError, error_of, is_success
from .features import CHECKSUM_MODE, CHECKSUMS, LIST_V2, service_at
from .foreign import check_is_value
from .responses import MAX_DOCUMENT_BYTES, DocumentTooLongError, check_has_length
from .signing import EMPTY_SHA256, Credentials, canonical_query, payload_hash, quote_key
from .supported import UnsupportedError, tls_context
from .xml import delete_body, parse_delete, parse_error, parse_list

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from ..._http.http1.pool import Stream
    from ..._http.http1.response import MaxBytes, OnChunk, Response
    from ..._http.retry_policy import RetryPolicy
    from .checksums import StatedChecksum

__all__ = ["NativeTransport"]

logger = logging.getLogger("fsspec_store.s3")

#: Checksums of longer bodies are computed in a thread.
_CHECKED_HERE_BYTES = 2**20
#: Unexpected responses for one bucket, after which s3fs makes all of its calls.
_MAX_UNEXPECTED = 3

#: Where requests go, and the botocore client that holds their credentials.
Target: TypeAlias = tuple[Endpoint, Any]
_Method: TypeAlias = "Callable[[Target, dict[str, Any], frozenset[str]], Awaitable[dict[str, Any]]]"


class NativeTransport:
    """Sends the supported calls of one s3fs filesystem on one event loop.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own s3fs filesystem.
    policy : RetryPolicy
        Its timeouts.

    Attributes
    ----------
    targets : dict
        Where calls go, by bucket and method; ``None`` for calls of s3fs. `discover` adds to it.
    methods : dict
        What sends a call once, by botocore's name of it: a function of a target, botocore's
        parameters, and the optional parts that the service refused. It raises
        `UnexpectedResponseError` where s3fs has to repeat the call, and errors as s3fs does.
    """

    def __init__(self, fs: Any, policy: RetryPolicy) -> None:
        self._fs = fs
        self._policy = policy
        self._pool = Pool(timeout=policy.timeout, connect_timeout=policy.connect_timeout)
        self.targets: dict[tuple[str, str], Target | None] = {}
        self._unexpected: Counter[str] = Counter()
        #: Buckets whose calls s3fs makes.
        self._by_s3fs: set[str] = set()
        #: Of buckets whose endpoint was discovered again: why, and the locations before that.
        self._moved: dict[str, tuple[UnexpectedResponseError, dict[str, Any]]] = {}
        self._discovering = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None
        self.methods: dict[str, _Method] = {
            "get_object": self._get_object,
            "head_object": self._head_object,
            "put_object": self._put,
            "upload_part": self._put,
            "delete_object": self._delete_object,
            "delete_objects": self._delete_objects,
            "list_objects_v2": self._list_objects,
        }

    def fell_back(
        self, bucket: str, method: str, target: Target, reason: UnexpectedResponseError
    ) -> None:
        """Take note that s3fs succeeded after an unexpected response.

        A single one may come from a proxy. After a permanent one the endpoints are discovered
        again, since s3fs may have found the bucket's region. When it comes again, s3fs makes all
        calls of the bucket.
        """
        if self.targets.get((bucket, method)) is not target:
            # Another call in flight reported it before.
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
        """Close its connections."""
        await self._pool.aclose()

    def close_now(self) -> None:
        """Close its connections from where nothing can be awaited."""
        self._pool.close_now()

    # -- Calls ---------------------------------------------------------------------------------

    async def _get_object(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        headers = {}
        if "Range" in params:
            headers["range"] = params["Range"]
        if "IfMatch" in params:
            headers["if-match"] = params["IfMatch"]
        if "ChecksumMode" in params and CHECKSUM_MODE not in refused:
            headers["x-amz-checksum-mode"] = params["ChecksumMode"]
        checksum: StatedChecksum | None = None

        def on_chunk(
            status: int, headers: Mapping[str, str]
        ) -> Callable[[memoryview], None] | None:
            nonlocal checksum
            checksum = stated_checksum(headers) if status == 200 else None
            return None if checksum is None else checksum.update

        path = target[0].path + quote_key(params["Key"])
        response, stream = await self._ask(
            target,
            "GET",
            path,
            headers=headers,
            whole_up_to=params.get("WholeUpTo", CONTROL_BYTES),
            into=params.get("Into"),
            max_bytes=params.get("Longest", max_control_bytes),
            # Of a part some services state the whole object's.
            on_chunk=None if "Range" in params else on_chunk,
        )
        status, found = response.status, response.headers
        if status not in (200, 206):
            raise error_of(response, "GetObject")
        if "content-length" not in found:
            check_has_length(found)
        if not found.get("etag"):
            check_is_value(status, found, response.body)
        check = None
        if stream is not None:
            check = None if "Range" in params else stated_checksum(found)
        elif checksum is not None:
            checksum.verify()
        return {
            "Body": response.body if stream is None else stream,
            "Check": None if check is None else check.verify_whole,
            "ContentLength": response.length if response.body is None else len(response.body),
            "ContentRange": found.get("content-range"),
            "ETag": found.get("etag", ""),
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    async def _head_object(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        path = target[0].path + quote_key(params["Key"])
        response = await self._ask_whole(target, "HEAD", path)
        if not is_success(response):
            raise error_of(response, "HeadObject")
        said = response.headers.get("content-length")
        length = None if said is None else content_length({"Content-Length": said})
        if length is None and said is not None:
            raise UnexpectedResponseError("a HEAD whose length is no number")
        if not response.headers.get("etag"):
            check_is_value(response.status, response.headers)
        return {
            "ContentLength": length,
            "ETag": response.headers.get("etag", ""),
            "ResponseMetadata": {"HTTPHeaders": response.headers},
        }

    async def _put(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        body = memoryview(params["Body"])
        headers = {}
        query = ""
        operation = "PutObject"
        if "IfNoneMatch" in params:
            headers["if-none-match"] = params["IfNoneMatch"]
        if "IfMatch" in params:
            headers["if-match"] = params["IfMatch"]
        for name, value in params.get("Metadata", {}).items():
            headers[f"x-amz-meta-{name}"] = value
        if "UploadId" in params:
            operation = "UploadPart"
            query = canonical_query(
                {"partNumber": str(params["PartNumber"]), "uploadId": params["UploadId"]}
            )
        if target[0].crc32 and CHECKSUMS not in refused:
            is_small = body.nbytes <= _CHECKED_HERE_BYTES
            headers["x-amz-checksum-crc32"] = (
                crc32(body) if is_small else await in_thread(crc32, body)
            )
        path = target[0].path + quote_key(params["Key"])
        # A connection's own timeout begins when the body is sent.
        async with asyncio.timeout(self._policy.transfer_timeout(body.nbytes)):
            response = await self._ask_whole(target, "PUT", path, query, headers=headers, body=body)
        if not is_success(response):
            raise error_of(response, operation)
        etag = response.headers.get("etag", "")
        if not etag and response.length:
            # Not by s3fs at once: as after a lost response, it is unknown whether this was a write.
            raise ConnectionError(unexpected_response("S3"))
        return {"ETag": etag}

    async def _delete_object(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        path = target[0].path + quote_key(params["Key"])
        response = await self._ask_whole(target, "DELETE", path)
        if not is_success(response):
            raise error_of(response, "DeleteObject")
        if response.body:
            raise ConnectionError(unexpected_response("S3"))
        return {}

    async def _delete_objects(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        body = delete_body(item["Key"] for item in params["Delete"]["Objects"])
        # Every service takes this one; some know no other.
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {
            "content-md5": base64.b64encode(digest).decode(),
            "content-type": "application/xml",
        }
        response = await self._ask_whole(
            target, "POST", target[0].path, "delete=", headers=headers, body=memoryview(body)
        )
        if not is_success(response):
            raise error_of(response, "DeleteObjects")
        said = _document(response)
        try:
            return {"Errors": await parsed(parse_delete, said)}
        except ValueError as error:
            if said and not parse_error(said):
                # s3fs would take any document for one that names no failures.
                raise ConnectionError(f"{unexpected_response('S3')}: {error}") from None
            raise UnexpectedResponseError(str(error)) from None

    async def _list_objects(
        self, target: Target, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        names, query = _LIST_PARAMS, {"encoding-type": "url", "prefix": params["Prefix"]}
        if LIST_V2 in refused:
            names = _LIST_PARAMS_1
        else:
            query["list-type"] = "2"
        for param, name in names.items():
            if param in params:
                query[name] = str(params[param])
        response = await self._ask_whole(target, "GET", target[0].path, canonical_query(query))
        if not is_success(response):
            raise error_of(response, "ListObjectsV2")
        body = _document(response)
        try:
            page = await parsed(parse_list, body)
        except ValueError as error:
            raise UnexpectedResponseError(str(error)) from None
        if page.is_version_1 and LIST_V2 not in refused:
            service_at(target[1].meta.endpoint_url).mark_unsupported(
                LIST_V2, "it answered by version 1"
            )
        return {
            "Objects": page.objects,
            "Prefixes": page.prefixes,
            "Next": page.next_token,
            "Answered": answered_prefix(body),
        }

    # -- Requests ------------------------------------------------------------------------------

    async def _ask(
        self,
        target: Target,
        verb: str,
        path: str,
        query: str = "",
        *,
        headers: Mapping[str, str] = {},
        body: memoryview | None = None,
        whole_up_to: int = CONTROL_BYTES,
        into: memoryview | None = None,
        max_bytes: MaxBytes = max_control_bytes,
        on_chunk: OnChunk | None = None,
    ) -> tuple[Response, Stream | None]:
        """Sign a request, and send it."""
        endpoint, client = target
        if endpoint.signer is None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            signed = f"host: {endpoint.host}\r\n{lines}"
        else:
            if body is None:
                digest = EMPTY_SHA256
            elif body.nbytes <= _CHECKED_HERE_BYTES:
                digest = payload_hash(body)
            else:
                digest = await in_thread(payload_hash, body)
            # For each request: the provider may refresh them at any time.
            found = await client._request_signer._credentials.get_frozen_credentials()
            credentials = Credentials(found.access_key, found.secret_key, found.token)
            signed = endpoint.signer.sign(
                verb, path, query, endpoint.host, headers, digest, credentials
            )
        length = "" if body is None else f"content-length: {body.nbytes}\r\n"
        head = (
            f"{verb} {path}{'?' if query else ''}{query} HTTP/1.1\r\n{signed}{length}"
            f"accept-encoding: identity\r\nuser-agent: {endpoint.agent}\r\n\r\n"
        )
        return await self._pool.request(
            endpoint.origin,
            head.encode("latin-1"),
            body,
            no_body=verb == "HEAD",
            whole_up_to=whole_up_to,
            into=into,
            max_bytes=max_bytes,
            on_chunk=on_chunk,
        )

    async def _ask_whole(
        self, target: Target, verb: str, path: str, *rest: Any, **more: Any
    ) -> Response:
        """As `_ask`, where no answer is large."""
        response, stream = await self._ask(target, verb, path, *rest, **more)
        if stream is not None:
            stream.close()
            raise UnexpectedResponseError(f"{response.length} bytes in answer to a {verb}")
        return response

    async def discover(self, bucket: str, method: str) -> Target | None:
        """Where calls of a method to a bucket go, found once; ``None`` for calls of s3fs."""
        if method not in METHODS:
            return None
        async with self._discovering:
            # Discovered once for all calls that wait.
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
                # No credentials, for example: s3fs raises a better error, and they may come later.
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
                # Since now, or since another call was answered meanwhile.
                target = None
            self.targets[bucket, method] = target
            return target

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await tls_context(self._fs)
        return self._tls


_LIST_PARAMS = {
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "ContinuationToken": "continuation-token",
    "StartAfter": "start-after",
}
_LIST_PARAMS_1 = {
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "ContinuationToken": "marker",
    "StartAfter": "marker",
}


def _document(response: Response) -> bytes:
    """The body. s3fs does not read one that is too long either."""
    if response.length > MAX_DOCUMENT_BYTES:
        raise DocumentTooLongError
    return bytes(response.body or b"")
