"""The fast lane: S3's plain requests signed and sent here, by the settings of the user's s3fs.

Takes the calls that cost most when there are millions of them, and understands the answers that
every service gives. Whatever is unusual about a request or an answer is left to s3fs, whose word
counts. Knows neither policy nor limit: a call is one attempt.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from ...threads import in_thread
from ..byte_ranges import content_length
from ..foreign import unexpected
from ..large_reads import LARGE_BYTES
from ..page_checks import answered_prefix
from ..parsing import parsed
from ..wire.connection import longest_control
from ..wire.pool import Pool
from .answers import MAX_DOCUMENT_BYTES, DocumentTooLongError, check_end
from .checksums import crc32, stated_checksum
from .documents import delete_body, parse_delete, parse_error, parse_list
from .features import CHECKSUM_MODE, CHECKSUMS, LIST_V2, service_at
from .foreign import check_is_value
from .plain import UnusualError, tls_context
from .refusals import OddAnswerError, is_success, refusal
from .routes import METHODS, Route, find_route
from .signing import EMPTY_SHA256, Credentials, canonical_query, payload_hash, quote_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    from ...retries import RetryPolicy
    from ..wire.connection import Longest, Response, Watch
    from ..wire.pool import Stream
    from .checksums import StatedChecksum

__all__ = ["FastLane"]

logger = logging.getLogger("fsspec_store.s3")

#: Longer bodies are summed up in a thread, which lets the event loop go on.
_SUMMED_HERE_BYTES = 2**20

#: From a bucket that s3fs had no trouble with.
_MOST_ODD_ANSWERS = 3

#: Where requests go, and the client of botocore's that holds their credentials.
Way: TypeAlias = tuple[Route, Any]
_Method: TypeAlias = "Callable[[Way, dict[str, Any], frozenset[str]], Awaitable[dict[str, Any]]]"


class FastLane:
    """Sends the plain calls of one s3fs filesystem, on one event loop.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own s3fs filesystem.
    policy : RetryPolicy
        Its timeouts.
    """

    def __init__(self, fs: Any, policy: RetryPolicy) -> None:
        self._fs = fs
        self._policy = policy
        self._pool = Pool(timeout=policy.timeout, connect_timeout=policy.connect_timeout)
        self._ways: dict[tuple[str, str], Way | None] = {}
        self._odd: Counter[str] = Counter()
        self._left: set[str] = set()
        #: Of buckets that were found elsewhere: what was odd, and the places of before.
        self._moved: dict[str, tuple[OddAnswerError, dict[str, Any]]] = {}
        self._learning = asyncio.Lock()
        self._tls: ssl.SSLContext | None = None
        self._methods: dict[str, _Method] = {
            "get_object": self._get_object,
            "head_object": self._head_object,
            "put_object": self._put,
            "upload_part": self._put,
            "delete_object": self._delete_object,
            "delete_objects": self._delete_objects,
            "list_objects_v2": self._list_objects,
        }

    async def way(self, bucket: str, method: str) -> Way | None:
        """How calls of a method to a bucket are made; ``None`` for calls that are s3fs's."""
        try:
            return self._ways[bucket, method]
        except KeyError:
            return await self._learn(bucket, method)

    async def call(
        self, way: Way, method: str, params: dict[str, Any], refused: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Send a call once, with botocore's name and parameters.

        Parameters
        ----------
        way : tuple
            What `way` returned for the bucket and the method.
        method : str
            botocore's name of the call.
        params : dict
            As of `fsspec_store.backends.s3.lanes`.
        refused : frozenset of str, optional
            What the service does without, of `fsspec_store.backends.s3.features`.

        Raises
        ------
        OddAnswerError
            When s3fs has to be asked what the answer means.
        OSError
            As s3fs raises it.
        """
        return await self._methods[method](way, params, refused)

    def doubt(self, bucket: str, method: str, way: Way, odd: OddAnswerError) -> None:
        """Take note that s3fs knew what to do about an odd answer.

        Single ones come from whatever stands between here and the service. After one that would
        last, s3fs may know the bucket's place better, so the ways are learned once more. When they
        last all the same, nothing more is sent to the bucket from here.
        """
        if self._ways.get((bucket, method)) is not way:
            # Many were under way, and another one said so before.
            return
        if odd.lasting and bucket not in self._moved:
            ways = {each: self._ways.pop((bucket, each), None) for each in METHODS}
            places = {each: found[0].place for each, found in ways.items() if found}
            self._moved[bucket] = odd, places
            return
        self._odd[bucket] += 1
        if not odd.lasting and self._odd[bucket] < _MOST_ODD_ANSWERS:
            logger.info("a request to the S3 bucket %r went through s3fs: %s", bucket, odd)
            return
        self._leave(bucket, odd)

    def _leave(self, bucket: str, odd: OddAnswerError) -> None:
        logger.info("requests to the S3 bucket %r go through s3fs: %s", bucket, odd)
        self._left.add(bucket)
        for method in METHODS:
            self._ways[bucket, method] = None

    async def aclose(self) -> None:
        """Close its connections."""
        await self._pool.aclose()

    def close_now(self) -> None:
        """Close its connections from where nothing can be awaited."""
        self._pool.close_now()

    # -- Calls ---------------------------------------------------------------------------------

    async def _get_object(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        headers = {}
        if "Range" in params:
            headers["range"] = params["Range"]
        if "IfMatch" in params:
            headers["if-match"] = params["IfMatch"]
        if "ChecksumMode" in params and CHECKSUM_MODE not in refused:
            headers["x-amz-checksum-mode"] = params["ChecksumMode"]
        checksum: StatedChecksum | None = None

        def watch(status: int, headers: Mapping[str, str]) -> Callable[[memoryview], None] | None:
            nonlocal checksum
            checksum = stated_checksum(headers) if status == 200 else None
            return None if checksum is None else checksum.add

        path = way[0].path + quote_key(params["Key"])
        response, stream = await self._ask(
            way,
            "GET",
            path,
            headers=headers,
            into=params.get("Into"),
            longest=params.get("Longest", longest_control),
            # Of a part some services state the whole object's.
            watch=None if "Range" in params else watch,
        )
        status, found = response.status, response.headers
        if status not in (200, 206):
            raise refusal(response, "GetObject")
        check_end(found)
        if not found.get("etag"):
            check_is_value(status, found, response.body)
        check = None
        if stream is not None:
            check = None if "Range" in params else stated_checksum(found)
        elif checksum is not None:
            checksum.check()
        return {
            "Body": response.body if stream is None else stream,
            "Check": None if check is None else check.check_whole,
            "ContentLength": response.length if response.body is None else len(response.body),
            "ContentRange": found.get("content-range"),
            "ETag": found.get("etag", ""),
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    async def _head_object(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        path = way[0].path + quote_key(params["Key"])
        response = await self._ask_whole(way, "HEAD", path)
        if not is_success(response):
            raise refusal(response, "HeadObject")
        said = response.headers.get("content-length")
        length = None if said is None else content_length({"Content-Length": said})
        if length is None and said is not None:
            raise OddAnswerError("a HEAD whose length is no number")
        if not response.headers.get("etag"):
            check_is_value(response.status, response.headers)
        return {
            "ContentLength": length,
            "ETag": response.headers.get("etag", ""),
            "ResponseMetadata": {"HTTPHeaders": response.headers},
        }

    async def _put(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
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
        if way[0].crc32 and CHECKSUMS not in refused:
            headers["x-amz-checksum-crc32"] = await _summed(crc32, body)
        path = way[0].path + quote_key(params["Key"])
        # A connection's own timeout begins when the body is sent.
        async with asyncio.timeout(self._policy.transfer_timeout(body.nbytes)):
            response = await self._ask_whole(way, "PUT", path, query, headers=headers, body=body)
        if not is_success(response):
            raise refusal(response, operation)
        etag = response.headers.get("etag", "")
        if not etag and response.length:
            # Not by s3fs at once: as after a lost response, it is unknown whether this was a write.
            raise ConnectionError(unexpected("S3"))
        return {"ETag": etag}

    async def _delete_object(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        path = way[0].path + quote_key(params["Key"])
        response = await self._ask_whole(way, "DELETE", path)
        if not is_success(response):
            raise refusal(response, "DeleteObject")
        if response.body:
            raise ConnectionError(unexpected("S3"))
        return {}

    async def _delete_objects(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        body = delete_body(item["Key"] for item in params["Delete"]["Objects"])
        # Every service takes this one; some know no other.
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        headers = {
            "content-md5": base64.b64encode(digest).decode(),
            "content-type": "application/xml",
        }
        response = await self._ask_whole(
            way, "POST", way[0].path, "delete=", headers=headers, body=memoryview(body)
        )
        if not is_success(response):
            raise refusal(response, "DeleteObjects")
        said = _document(response)
        try:
            return {"Errors": await parsed(parse_delete, said)}
        except ValueError as error:
            if said and not parse_error(said):
                # s3fs would take any document for one that names no failures.
                raise ConnectionError(f"{unexpected('S3')}: {error}") from None
            raise OddAnswerError(str(error)) from None

    async def _list_objects(
        self, way: Way, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        names, query = _LIST_PARAMS, {"encoding-type": "url", "prefix": params["Prefix"]}
        if LIST_V2 in refused:
            names = _LIST_PARAMS_1
        else:
            query["list-type"] = "2"
        for param, name in names.items():
            if param in params:
                query[name] = str(params[param])
        response = await self._ask_whole(way, "GET", way[0].path, canonical_query(query))
        if not is_success(response):
            raise refusal(response, "ListObjectsV2")
        body = _document(response)
        try:
            page = await parsed(parse_list, body)
        except ValueError as error:
            raise OddAnswerError(str(error)) from None
        if page.is_version_1 and LIST_V2 not in refused:
            service_at(way[1].meta.endpoint_url).refuses(LIST_V2, "it answered by version 1")
        return {
            "Objects": page.objects,
            "Prefixes": page.prefixes,
            "Next": page.next_token,
            "Answered": answered_prefix(body),
        }

    # -- What they share -----------------------------------------------------------------------

    async def _ask(
        self,
        way: Way,
        verb: str,
        path: str,
        query: str = "",
        *,
        headers: Mapping[str, str] = {},
        body: memoryview | None = None,
        into: memoryview | None = None,
        longest: Longest = longest_control,
        watch: Watch | None = None,
    ) -> tuple[Response, Stream | None]:
        """Sign a request, and send it."""
        route, client = way
        if route.signer is None:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            signed = f"host: {route.host}\r\n{lines}"
        else:
            summed = EMPTY_SHA256 if body is None else await _summed(payload_hash, body)
            signed = route.signer.sign(
                verb, path, query, route.host, headers, summed, await _credentials(client)
            )
        length = "" if body is None else f"content-length: {body.nbytes}\r\n"
        head = (
            f"{verb} {path}{'?' if query else ''}{query} HTTP/1.1\r\n{signed}{length}"
            f"accept-encoding: identity\r\nuser-agent: {route.agent}\r\n\r\n"
        )
        return await self._pool.ask(
            route.origin,
            head.encode("latin-1"),
            body,
            bodiless=verb == "HEAD",
            whole_up_to=LARGE_BYTES,
            into=into,
            longest=longest,
            watch=watch,
        )

    async def _ask_whole(self, way: Way, verb: str, path: str, *rest: Any, **more: Any) -> Response:
        """As `_ask`, where no answer is large."""
        response, stream = await self._ask(way, verb, path, *rest, **more)
        if stream is not None:
            stream.close()
            raise OddAnswerError(f"{response.length} bytes in answer to a {verb}")
        return response

    async def _learn(self, bucket: str, method: str) -> Way | None:
        if method not in METHODS:
            return None
        async with self._learning:
            # Many ask at once, and one finds out.
            if (bucket, method) in self._ways:
                return self._ways[bucket, method]
            try:
                way: Way | None = await find_route(self._fs, bucket, method, self._trust)
            except UnusualError as what:
                logger.info("%s of the S3 bucket %r goes through s3fs: %s", method, bucket, what)
                way = None
            except Exception as error:
                # No credentials, for example: s3fs says so better, and they may come.
                logger.debug("s3fs made no %s for %r: %r", method, bucket, type(error))
                return None
            odd, before = self._moved.get(bucket, (None, {}))
            if odd is not None and way is not None and before.get(method) == way[0].place:
                self._leave(bucket, odd)
            if bucket in self._left:
                # By now, or meanwhile.
                way = None
            self._ways[bucket, method] = way
            return way

    async def _trust(self) -> ssl.SSLContext:
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


async def _credentials(client: Any) -> Credentials:
    # Each time: they may be renewed at any moment, which is the provider's business.
    found = await client._request_signer._credentials.get_frozen_credentials()
    return Credentials(found.access_key, found.secret_key, found.token)


def _document(response: Response) -> bytes:
    """The body, which s3fs would not read either if it is too long."""
    if response.length > MAX_DOCUMENT_BYTES:
        raise DocumentTooLongError
    return bytes(response.body or b"")


async def _summed(sum_up: Callable[[memoryview], Any], data: memoryview) -> Any:
    if data.nbytes <= _SUMMED_HERE_BYTES:
        return sum_up(data)
    return await in_thread(sum_up, data)
