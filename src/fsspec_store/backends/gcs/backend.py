"""Google Cloud Storage, by its JSON API.

Requests are made here and not by gcsfs, whose own methods ask more than once, answer from a
directory cache, retry for minutes, never time out, and find out about a bucket by gRPC first. What
the user's gcsfs filesystem was told (endpoint, credentials, who pays) is kept to. Buckets with a
hierarchical namespace work as others do; a zonal bucket (Rapid Bucket) takes objects by gRPC alone,
and refuses with a sentence that says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..base import Backend, BucketMissingError, Failure, Page
from ..cleanup import Cleanup
from ..http_answers import StatusError, http_failure
from ..page_checks import Continuation
from ..parsing import parsed
from .answers import (
    CREDENTIAL_ERRORS,
    is_missing_bucket,
    listing,
    object_size,
    verdict,
)
from .buckets import Buckets
from .calls import USER_AGENT, Calls
from .deletes import Deletes
from .reading import GENERATION, Reader, is_generation
from .uploads import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fsspec import AbstractFileSystem

    from ...byte_requests import ByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["GCSBackend"]

#: Cloud Storage, "About Cloud Storage buckets", naming.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
#: Cloud Storage, "About Cloud Storage objects", naming.
_MAX_NAME_BYTES = 1024
_RESERVED = ".well-known/acme-challenge/"
#: Most entries on a page ("Objects: list"), said since emulators know no bound.
_PAGE = 1000
#: Its own hosts resume uploads as documented; emulators drop conditions and keep chunks twice.
_GOOGLE = re.compile(r"(.+\.)?googleapis\.com")
_ZONAL = re.compile(rb"requires appendable objects|[Zz]onal (objects|buckets) ")


class GCSBackend(Backend):
    """Objects of Google Cloud Storage's buckets, by paths such as ``bucket/prefix/name``."""

    fs: Any

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        super().__init__(fs, policy, stats)
        self._calls = Calls(fs, policy, stats)
        self._buckets = Buckets(self._calls)
        self._reader = Reader(self._calls)
        self._deletes = Deletes(self._calls, self._buckets)
        self._cleanup = Cleanup()
        host = urlsplit(self._calls.endpoint).hostname or ""
        self._resumes = bool(fs.on_google or _GOOGLE.fullmatch(host))

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        bucket, name = _split(path)
        data, answer = await self._reader.read(bucket, name, request)
        if data is not None and answer.status == 416 and await self._reader.size(bucket, name):
            # Of an empty object no range is satisfiable. This service takes no suffixes.
            raise OSError("the service refuses the last bytes of an object that is not empty")
        return data if await self._buckets.has_object(bucket, answer) else None

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        bucket, name = _split(path)
        data, answer = await self._reader.read(bucket, name, None)
        if not await self._buckets.has_object(bucket, answer) or data is None:
            return None
        generation = answer.headers.get(GENERATION)
        if not is_generation(generation):
            raise OSError("the service sent an object and not its generation")
        return data, generation

    async def size(self, path: str) -> int | None:
        bucket, name = _split(path)
        url = self._calls.url(bucket, name, fields="size,crc32c")
        answer = await self._calls.call("GET", url, expect=(200, 404))
        if not await self._buckets.has_object(bucket, answer):
            return None
        size = object_size(answer.body)
        if size is not None:
            return size
        # It was left out, or 0 without the checksum of no bytes: a part of the object says it.
        return await self._reader.size(bucket, name)

    async def write(self, path: str, data: memoryview) -> None:
        await self._put(path, data)

    async def create(self, path: str, data: memoryview) -> bool:
        return await self._put(path, data, ifGenerationMatch="0")

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        # 0 would stand for no object.
        if not is_generation(version):
            return False
        return await self._put(path, data, ifGenerationMatch=version)

    async def remove(self, path: str) -> None:
        await self._deletes.one(_split(path))

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self._deletes.many([_split(path) for path in paths], limit=limit)

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
        continuation = Continuation()
        while True:
            answer = await self._calls.call(
                "GET",
                self._calls.url(bucket, **params),
                expect=(200, 404),
                headers={"User-Agent": f"{USER_AGENT} (gzip)", "Accept-Encoding": "gzip"},
                auto_decompress=True,
            )
            if answer.status == 404:
                raise BucketMissingError(bucket)
            self._buckets.saw(bucket)
            found = await parsed(listing, answer.body)
            page = Page(
                [(f"{bucket}/{name}", size) for name, size in found.objects],
                [f"{bucket}/{prefix.removesuffix('/')}" for prefix in found.prefixes],
            )
            yield page
            if not found.token:
                return
            continuation.check(found.token, page)
            params["pageToken"] = found.token

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
            if answer.status == 401 and self._calls.authorization.is_anonymous:
                # What anybody else is told by 403.
                return Failure.FORBIDDEN
            if answer.status == 400 and _ZONAL.search(answer.body):
                return Failure.UNSUPPORTED
        return http_failure(error)

    def secrets(self) -> set[str]:
        return super().secrets() | self._calls.authorization.secrets()

    def close(self) -> None:
        self._cleanup.close()
        self._calls.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._calls.aclose()

    async def _put(self, path: str, data: memoryview, **condition: str) -> bool:
        bucket, name = _split(path)

        async def read() -> bytes | memoryview | None:
            return (await self._reader.read_whole(bucket, name, None))[0]

        upload = Upload(self._calls, read, bucket, name, data, condition, self._cleanup)
        try:
            done = await upload.run(resumable=self._resumes)
        except StatusError as error:
            if error.answer.status == 404:
                raise BucketMissingError(bucket) from error
            raise
        self._buckets.saw(bucket)
        return done

    def _generation_named(self, path: str) -> str | None:
        """Why a path would name a generation, to a filesystem that was told to look for one."""
        if self.fs.version_aware and self.fs.split_path(path)[2] is not None:
            return (
                "version_aware=True makes gcsfs take the end of this for a generation, and a store "
                "holds the latest ones"
            )
        return None


def _split(path: str) -> tuple[str, str]:
    bucket, _, name = path.partition("/")
    return bucket, name
