"""Google Cloud Storage, by its JSON API.

Requests are made here and not by gcsfs, whose own methods ask more than once, answer from a
directory cache, retry for minutes, never time out, and find out about a bucket by gRPC first. What
the user's gcsfs filesystem was told (endpoint, credentials, who pays) is kept to. Buckets with a
hierarchical namespace work as others do; a zonal bucket (Rapid Bucket) takes objects by gRPC alone,
and refuses with a sentence that says so.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp

from ..._version import __version__
from ...byte_requests import SuffixByteRequest
from ...concurrency import for_each
from ...sharing import frozen
from ...threads import in_thread
from ..base import Backend, BucketMissingError, Failure, Page, RangeNotSatisfiableError
from ..byte_ranges import (
    content_length,
    part_start,
    range_header,
    requested_part,
    total_size,
)
from ..http_answers import Answer, LargeBody, StatusError, TornError, http_failure
from ..http_client import HTTPClient
from ..large_reads import read_all, read_large
from ..plain_client import PlainClient
from .answers import (
    CREDENTIAL_ERRORS,
    check_whole,
    failures_of_batch,
    in_words,
    is_missing_bucket,
    is_missing_object,
    is_unclear,
    outcomes_of_batch,
    verdict,
)
from .requests import LONG_TO_HASH, batch_of_deletions
from .session import (
    Authorization,
    billed_project,
    check_options,
    endpoint,
    is_plain,
    session_maker,
)
from .uploads import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ...byte_requests import ByteRequest, RangeByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["GCSBackend"]

T = TypeVar("T")

#: Cloud Storage, "About Cloud Storage buckets", naming.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
#: Cloud Storage, "About Cloud Storage objects", naming.
_MAX_NAME_BYTES = 1024
_RESERVED = ".well-known/acme-challenge/"
#: Most calls in one batch (Cloud Storage, "Sending batch requests").
_BATCH = 100
_BATCHES_AT_ONCE = 4
#: Most entries on a page ("Objects: list"), said since emulators know no bound.
_PAGE = 1000
#: What a service without batches answers.
_NO_BATCHES = frozenset({404, 405, 501})
#: Its own hosts resume uploads as documented; emulators drop conditions and keep chunks twice.
_GOOGLE = re.compile(r"(.+\.)?googleapis\.com")
_USER_AGENT = f"fsspec-store/{__version__}"
_GENERATION = "X-Goog-Generation"
#: Objects are taken as they are stored: whoever takes no gzip is sent packed ones unpacked.
_READ_HEADERS = {"Accept-Encoding": "gzip"}
#: Said with each request, since the user's ``session_kwargs`` may say otherwise.
_REQUEST_OPTIONS = {"allow_redirects": False, "auto_decompress": False, "raise_for_status": False}
_ZONAL = re.compile(rb"requires appendable objects|[Zz]onal (objects|buckets) ")


class GCSBackend(Backend):
    """Objects of Google Cloud Storage's buckets, by paths such as ``bucket/prefix/name``."""

    fs: Any

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        super().__init__(fs, policy, stats)
        check_options(fs)
        self._endpoint = endpoint(fs)
        project = billed_project(fs)
        self._billing = {} if project is None else {"userProject": project}
        self._authorization = Authorization(fs)
        parts = urlsplit(self._endpoint)
        service = f"{parts.scheme}://{parts.netloc}"
        share = ("gcs", frozen(fs.storage_options), self._endpoint)
        plain = PlainClient(service, policy) if is_plain(fs) else None
        self._client = HTTPClient(service, session_maker(fs), share, policy, stats, verdict, plain)
        self._resumes = bool(fs.on_google or _GOOGLE.fullmatch(parts.hostname or ""))
        self._batches = True
        self._buckets_seen: set[str] = set()

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        data, answer = await self._value(path, request)
        return data if await self._is_there(path, answer) else None

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        data, answer = await self._value(path, None)
        if not await self._is_there(path, answer) or data is None:
            return None
        generation = answer.headers.get(_GENERATION)
        if generation is None:
            raise OSError("the service sent an object and not its generation")
        return data, generation

    async def size(self, path: str) -> int | None:
        url = self._url(*_split(path), fields="size")
        answer = await self._call("GET", url, expect=(200, 404))
        if not await self._is_there(path, answer):
            return None
        return int(json.loads(answer.body)["size"])

    async def write(self, path: str, data: memoryview) -> None:
        await self._put(path, data)

    async def create(self, path: str, data: memoryview) -> bool:
        return await self._put(path, data, ifGenerationMatch="0")

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        # No object has another version than these, and 0 would stand for no object.
        if not re.fullmatch("[1-9][0-9]{0,18}", version):
            return False
        return await self._put(path, data, ifGenerationMatch=version)

    async def remove(self, path: str) -> None:
        answer = await self._call("DELETE", self._url(*_split(path)), expect=(200, 204, 404))
        await self._is_there(path, answer)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
        await for_each(
            partial(self._remove_batch, limit=limit), batches, limit=min(limit, _BATCHES_AT_ONCE)
        )

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        bucket, prefix = _split(directory)
        params = {
            "prefix": prefix + stem,
            "maxResults": str(page_size or _PAGE),
            "fields": "items(name,size),prefixes,nextPageToken",
        }
        if not recursive:
            params["delimiter"] = "/"
        while True:
            answer = await self._call(
                "GET",
                self._url(bucket, **params),
                expect=(200, 404),
                headers={"User-Agent": f"{_USER_AGENT} (gzip)", "Accept-Encoding": "gzip"},
                auto_decompress=True,
            )
            if answer.status == 404:
                raise BucketMissingError(bucket)
            self._buckets_seen.add(bucket)
            page = json.loads(answer.body)
            yield Page(
                [(f"{bucket}/{item['name']}", int(item["size"])) for item in page.get("items", ())],
                [f"{bucket}/{prefix.removesuffix('/')}" for prefix in page.get("prefixes", ())],
            )
            if not page.get("nextPageToken"):
                return
            params["pageToken"] = page["nextPageToken"]

    def check_root(self, root: str) -> str | None:
        if not _BUCKET.fullmatch(_split(root)[0]):
            return "this is no bucket name"
        return self._generation_named(root)

    def check_path(self, path: str) -> str | None:
        name = _split(path)[1]
        # A quick look first: a character takes four bytes at most.
        if len(name) * 4 > _MAX_NAME_BYTES and len(name.encode()) > _MAX_NAME_BYTES:
            return f"object names have at most {_MAX_NAME_BYTES} bytes, prefix included"
        if "\r" in name or "\n" in name:
            return "object names hold no line break"
        if name.startswith(_RESERVED):
            return f"the service keeps names below {_RESERVED} to itself"
        return self._generation_named(path)

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, BucketMissingError):
            return Failure.NO_BUCKET
        if isinstance(error, CREDENTIAL_ERRORS):
            return Failure.UNAUTHENTICATED if verdict(error) is None else Failure.BACKEND
        if isinstance(error, StatusError):
            answer = error.answer
            if is_missing_bucket(answer):
                return Failure.NO_BUCKET
            if answer.status == 401 and self._authorization.is_anonymous:
                # What anybody else is told by 403.
                return Failure.FORBIDDEN
            if answer.status == 400 and _ZONAL.search(answer.body):
                return Failure.UNSUPPORTED
        return http_failure(error)

    def close(self) -> None:
        self._client.close()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _value(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, Answer]:
        """What a request names, ``None`` if nothing, and the answer it came in, without a body."""
        data, answer = await self._send(lambda: self._read_once(path, request))
        if not isinstance(data, LargeBody):
            return data, answer
        whole = await self._read_large(path, request, data, answer)
        if whole is None:
            return await self._send(lambda: self._read_whole(path, request))
        return whole, answer

    async def _read_whole(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, Answer]:
        """As `_value`, however large, in one attempt."""
        data, answer = await self._read_once(path, request)
        if isinstance(data, LargeBody):
            return await self._read_rest(request, data, answer), answer
        return data, answer

    async def _read_once(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | LargeBody | None, Answer]:
        """As `_value` in one attempt, which leaves alone a large body that can be read in parts."""
        wanted = range_header(request)
        headers = _READ_HEADERS if wanted is None else {**_READ_HEADERS, "Range": wanted}
        found = await self._signed(
            partial(self._client.fetch, self._url(*_split(path), alt="media")),
            expect=(200, 206, 404, 416),
            headers=headers,
        )
        body = found.body
        if isinstance(body, LargeBody):
            answer = Answer(found.status, found.headers, b"")
            if _GENERATION in found.headers and (found.status == 206 or wanted is None):
                return body, answer
            return await self._read_rest(request, body, answer), answer
        if found.status == 404:
            return None, in_words(Answer(found.status, found.headers, bytes(body)))
        answer = Answer(found.status, found.headers, b"")
        is_suffix = isinstance(request, SuffixByteRequest)
        # The last bytes of an empty object: refused, or no bytes under a range that makes no sense.
        if is_suffix and (answer.status == 416 or content_length(answer.headers) == 0):
            return b"", answer
        if answer.status == 416:
            raise RangeNotSatisfiableError(total_size(answer.headers.get("Content-Range")))
        return await _checked(body, request, answer), answer

    async def _read_rest(
        self, request: ByteRequest | None, body: LargeBody, answer: Answer
    ) -> bytes | memoryview:
        """A large body, by itself."""
        memory = await read_all(body.stream, body.size)
        return await _checked(memory, request, answer)

    async def _read_large(
        self, path: str, request: ByteRequest | None, body: LargeBody, answer: Answer
    ) -> bytes | memoryview | None:
        """A large body, its end by other requests for this very generation; ``None`` if torn."""
        generation = answer.headers[_GENERATION]
        url = self._url(*_split(path), alt="media", generation=generation)

        async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
            fetch_part = partial(
                self._client.fetch_part,
                url,
                part,
                sink,
                is_same=lambda headers: headers.get(_GENERATION) == generation,
            )
            headers = {**_READ_HEADERS, "Range": range_header(part)}
            await self._send(lambda: self._signed(fetch_part, headers=headers))

        try:
            first = part_start(answer.headers.get("Content-Range"))
            memory = await read_large(body.stream, body.size, fetch, first=first)
            return await _checked(memory, request, answer)
        except (TornError, aiohttp.ClientPayloadError):
            return None

    async def _put(self, path: str, data: memoryview, **condition: str) -> bool:
        bucket, name = _split(path)

        async def read() -> bytes | memoryview | None:
            return (await self._read_whole(path, None))[0]

        url = partial(self._url, bucket, api="/upload/storage/v1")
        upload = Upload(self._once, self._send, read, url, name, data, condition)
        try:
            done = await upload.run(resumable=self._resumes)
        except StatusError as error:
            if error.answer.status == 404:
                raise BucketMissingError(bucket) from error
            raise
        self._buckets_seen.add(bucket)
        return done

    async def _remove_batch(self, paths: Sequence[str], *, limit: int) -> None:
        left = list(paths)
        unsure: set[str] = set()

        async def attempt() -> None:
            nonlocal left
            targets = [self._url(*_split(path), host="") for path in left]
            body, content_type = batch_of_deletions(targets)
            try:
                answer = await self._once(
                    "POST",
                    f"{self._endpoint}/batch/storage/v1",
                    expect=(200,),
                    headers={"Content-Type": content_type, "Content-Length": str(body.size)},
                    data=body,
                )
            except StatusError as error:
                if error.answer.status not in _NO_BATCHES:
                    raise
                self._batches = False
                return
            outcomes = outcomes_of_batch(answer)
            unsure.update(
                path
                for number, path in enumerate(left)
                if number in outcomes and is_unclear(outcomes[number])
            )
            failures = failures_of_batch(outcomes, len(left))
            left = [left[number] for number in failures]
            if left:
                # What another attempt would not change, before what it may.
                raise min(failures.values(), key=lambda error: verdict(error) is not None)

        if self._batches and len(left) > 1:
            await self._send(attempt)
        if not self._batches or len(paths) == 1:
            await for_each(self.remove, left, limit=limit)
        for bucket in {_split(path)[0] for path in unsure}:
            await self._require_bucket(bucket)

    async def _is_there(self, path: str, answer: Answer) -> bool:
        """Whether an answer found the object, in a bucket that is there in any case."""
        bucket = _split(path)[0]
        if answer.status != 404 or is_missing_object(answer):
            self._buckets_seen.add(bucket)
        elif is_missing_bucket(answer):
            raise BucketMissingError(bucket)
        else:
            await self._require_bucket(bucket)
        return answer.status != 404

    async def _require_bucket(self, bucket: str) -> None:
        """Raise when the bucket is missing; asked once, until the bucket was seen."""
        if bucket in self._buckets_seen:
            return
        url = self._url(bucket, items="", fields="name")
        # Whoever may read objects need not be allowed to ask for the bucket.
        answer = await self._call("GET", url, expect=(200, 401, 403, 404))
        if answer.status == 404:
            raise BucketMissingError(bucket)
        self._buckets_seen.add(bucket)

    def _url(
        self,
        bucket: str,
        name: str | None = None,
        *,
        host: str | None = None,
        api: str = "/storage/v1",
        items: str = "/o",
        **params: str,
    ) -> str:
        place = f"{self._endpoint if host is None else host}{api}/b/{quote(bucket, safe='')}{items}"
        if name is not None:
            place += "/" + quote(name, safe="")
        query = "&".join(
            [f"{name}={quote(value, safe='')}" for name, value in (params | self._billing).items()]
        )
        return f"{place}?{query}" if query else place

    async def _call(self, method: str, url: str, **options: Any) -> Answer:
        return await self._send(lambda: self._once(method, url, **options))

    async def _send(self, attempt: Callable[[], Awaitable[T]]) -> T:
        authorization = self._authorization
        renew = None
        if not authorization.is_anonymous:
            renew = partial(authorization.renew, authorization.token)
        return await self._client.send(attempt, renew=renew)

    async def _once(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Send one request one time, signed; a refusal is told in the service's own words."""
        answer = await self._signed(
            partial(self._client.once, method, url), headers=headers or {}, **options
        )
        return in_words(answer) if answer.status >= 400 else answer

    async def _signed(
        self, send: Callable[..., Awaitable[T]], *, headers: Mapping[str, str], **options: Any
    ) -> T:
        """Await ``send(headers=..., ...)``, with the headers of every request."""
        sent = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
        await self._authorization.sign(sent)
        try:
            return await send(headers=sent, **{**_REQUEST_OPTIONS, **options})
        except StatusError as error:
            raise StatusError(in_words(error.answer)) from None

    def _generation_named(self, path: str) -> str | None:
        """Why a path would name a generation, to a filesystem that was told to look for one."""
        if self.fs.version_aware and self.fs.split_path(path)[2] is not None:
            return (
                "version_aware=True makes gcsfs take the end of this for a generation, and a store "
                "holds the latest ones"
            )
        return None


async def _checked(
    body: bytes | memoryview, request: ByteRequest | None, answer: Answer
) -> bytes | memoryview:
    """What was asked for, of a body that came as it should."""
    headers = answer.headers
    if answer.status == 200:
        if len(body) < LONG_TO_HASH:
            check_whole(headers, body)
        else:
            await in_thread(check_whole, headers, body)
    return requested_part(
        body,
        request,
        status=answer.status,
        content_range=headers.get("Content-Range"),
        length=content_length(headers),
    )


def _split(path: str) -> tuple[str, str]:
    bucket, _, name = path.partition("/")
    return bucket, name
