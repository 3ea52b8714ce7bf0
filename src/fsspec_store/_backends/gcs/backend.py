"""Google Cloud Storage, through its JSON API.

This package sends its own requests: gcsfs sends several per operation, reads from a directory
cache, retries for minutes, has no timeout, and probes buckets by gRPC first. The gcsfs filesystem
supplies the configuration: endpoint, credentials, billed project. Buckets with a hierarchical
namespace are supported. A zonal bucket (Rapid Bucket) accepts objects by gRPC only; its error
response states it.
"""

from __future__ import annotations

import re
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..._core.failures import BucketMissingError, Failure
from ..._http.hedging import HEAD
from ..._http.parsing import parsed
from ..._http.responses import StatusError, http_failure
from ..._http.settings import PartLimits, Settings
from ..base import Backend
from ..cleanup import Cleanup
from ..object_store.streamed_reads import open_stream
from ..object_store.streamed_writes import PartWriter
from ..object_store.writing import Condition
from ..pages import Page, pages_by_token
from ..traits import Traits
from .buckets import GCSBuckets
from .bulk_delete import GCSBulkDelete
from .client import USER_AGENT, Client
from .copies import check_generation, rewrite
from .reading import GENERATION, Reader, is_generation
from .responses import (
    CREDENTIAL_ERRORS,
    is_ambiguous_404,
    is_missing_bucket,
    listing,
    object_details,
    object_size,
    retry_decision,
)
from .uploads import GCSUpload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.streams import OpenValue, ValueWriter
    from ..._http.messages import Response
    from ..pages import Details

__all__ = ["GCSBackend"]

#: Cloud Storage, "About Cloud Storage buckets", naming.
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
#: Cloud Storage, "About Cloud Storage objects", naming.
_MAX_NAME_BYTES = 1024
_RESERVED_PREFIX = ".well-known/acme-challenge/"
#: Maximum page size ("Objects: list"). It is sent because emulators have no default.
_PAGE_SIZE = 1000
#: Fields of an object that a listing and `GCSBackend.stat` request.
_DETAILS = "size,updated,generation,md5Hash,crc32c"
#: Only Google's hosts get resumable uploads: emulators drop conditions and store chunks twice.
_GOOGLE_HOST = re.compile(r"(.+\.)?googleapis\.com")
#: Cloud Storage, "Resumable uploads": chunks are multiples of 256 KiB. "Quotas & limits": an object
#: has at most 5 TiB, also in one request.
_PART_LIMITS = PartLimits(
    "Google Cloud Storage", smallest=256 * 2**10, multiple_of=256 * 2**10, largest_request=5 * 2**40
)
_ZONAL = re.compile(rb"requires appendable objects|[Zz]onal (objects|buckets) ")


class GCSBackend(Backend):
    """Objects of Google Cloud Storage, by paths such as ``bucket/prefix/name``."""

    streams = True
    part_limits = _PART_LIMITS
    traits = Traits(
        "generation",
        ("md5", "crc32c"),
        largest_copy=inf,
        longest_key=f"{_MAX_NAME_BYTES:,} bytes",
        forbidden=f"line breaks, a beginning with {_RESERVED_PREFIX!r}",
    )
    lists_in_order = None
    fs: Any

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._client = Client(fs, settings)
        self._buckets = GCSBuckets(self._client)
        self._reader = Reader(self._client, settings.reads)
        self._bulk_delete = GCSBulkDelete(self._client, self._buckets)
        self._cleanup = Cleanup()
        host = urlsplit(self._client.endpoint).hostname or ""
        self._supports_resumable = bool(fs.on_google or _GOOGLE_HOST.fullmatch(host))

    @property
    def address(self) -> str | None:
        return self._client.service

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        bucket, name = _split(path)
        response = await self._reader.get((bucket, name), request)
        if response.status == 416 and await self._reader.size_by_range((bucket, name)):
            # 416 is right for an empty object. This service does not support suffix ranges.
            raise OSError("the service rejects a suffix range of an object that is not empty (416)")
        return response.body if await self._buckets.has_object(bucket, response) else None

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        target = _split(path)

        async def get(request: ByteRequest) -> Response[bytes | memoryview] | None:
            response = await self._reader.get(target, request)
            return response if await self._buckets.has_object(target[0], response) else None

        return await open_stream(
            self._reader,
            target,
            start,
            version,
            get=get,
            read_version=partial(self.read_version, path),
            read=partial(self.read, path),
        )

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        bucket, name = _split(path)
        response = await self._reader.get((bucket, name), None)
        if not await self._buckets.has_object(bucket, response):
            return None
        generation = response.headers.get(GENERATION)
        if not is_generation(generation):
            raise OSError("the response with the object states no valid generation")
        return response.body, generation

    async def size(self, path: str) -> int | None:
        found = await self._metadata(path, "size,crc32c")
        return None if found is None else found[0]

    async def stat(self, path: str) -> tuple[int, Details] | None:
        found = await self._metadata(path, _DETAILS)
        return None if found is None else (found[0], object_details(found[1]))

    async def _metadata(self, path: str, fields: str) -> tuple[int, bytes] | None:
        """Size of an object and the document of its metadata; ``None`` if there is no object."""
        bucket, name = _split(path)
        url = self._client.url(bucket, name, fields=fields)
        response = await self._client.request("GET", url, expect=(200, 404), read=HEAD)
        if not await self._buckets.has_object(bucket, response):
            return None
        size = object_size(response.body)
        if size is None:
            # The metadata has no reliable size: take it from the Content-Range of a part.
            size = await self._reader.size_by_range((bucket, name))
        return None if size is None else (size, response.body)

    async def write(self, path: str, data: memoryview) -> str | None:
        return (await self._put(path, data, Condition.NONE))[1]

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        if not self._supports_resumable:
            return super().open_writer(path, size)
        target = _split(path)
        upload = GCSUpload(self._client, self._reader, target, None, Condition.NONE)
        part_bytes = partial(self._streamed_part_bytes, size)
        return PartWriter(upload, partial(self.write, path), part_bytes, self._cleanup, size=size)

    async def create(self, path: str, data: memoryview) -> bool:
        return (await self._put(path, data, Condition.CREATE, "0"))[0]

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        if not is_generation(version):
            return False
        return (await self._put(path, data, Condition.REPLACE, version))[0]

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        source, target = _split(source_path), _split(path)
        if version is not None and not self._supports_resumable:
            # Emulators ignore the condition of the copy.
            await check_generation(self._client, source, version)
        response = await rewrite(self._client, source, target, version)
        if is_ambiguous_404(response):
            # The response does not state which of the two buckets is missing, if any.
            await self._buckets.require(target[0])
        is_copied = await self._buckets.has_object(source[0], response)
        if is_copied:
            self._buckets.seen.add(target[0])
        return is_copied

    async def remove(self, path: str) -> None:
        await self._bulk_delete.delete(*_split(path))

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self._bulk_delete.delete_many(map(_split, paths), limit=limit)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        delimiter = {} if recursive else {"delimiter": "/"}
        return self._pages(directory + name_prefix, page_size, "name,size", **delimiter)

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        # The object with this name is listed too.
        options = {"startOffset": _split(start_after)[1]} if start_after else {}
        if not recursive:
            options["delimiter"] = "/"
        fields = f"name,{_DETAILS}"
        return self._pages(directory + name_prefix, page_size, fields, **options)

    def _pages(
        self, path: str, page_size: int | None, fields: str, **options: str
    ) -> AsyncGenerator[Page, None]:
        bucket, prefix = _split(path)
        params = {
            "prefix": prefix,
            "maxResults": str(page_size or _PAGE_SIZE),
            "fields": f"items({fields}),prefixes,nextPageToken",
            **options,
        }

        async def fetch(token: str) -> tuple[Page, str]:
            response = await self._client.request(
                "GET",
                self._client.url(bucket, **params, **({"pageToken": token} if token else {})),
                expect=(200, 404),
                headers={"User-Agent": f"{USER_AGENT} (gzip)", "Accept-Encoding": "gzip"},
                decode=True,
            )
            if response.status == 404:
                raise BucketMissingError(bucket)
            self._buckets.seen.add(bucket)
            parse = partial(listing, bucket, details="updated" in fields)
            return await parsed(parse, response.body)

        return pages_by_token(fetch)

    def check_root(self, root: str) -> str | None:
        if not _BUCKET_NAME.fullmatch(_split(root)[0]):
            return "invalid bucket name"
        return self._check_generation_suffix(root)

    def check_path(self, path: str) -> str | None:
        name = _split(path)[1]
        # A character has at most four bytes in UTF-8.
        if len(name) * 4 > _MAX_NAME_BYTES and len(name.encode()) > _MAX_NAME_BYTES:
            return f"object names have at most {_MAX_NAME_BYTES} bytes, prefix included"
        if "\r" in name or "\n" in name:
            return "object names must not contain line breaks"
        if name.startswith(_RESERVED_PREFIX):
            return f"the service reserves names below {_RESERVED_PREFIX}"
        return self._check_generation_suffix(path)

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, BucketMissingError):
            return Failure.NO_BUCKET
        if isinstance(error, CREDENTIAL_ERRORS):
            return Failure.UNAUTHENTICATED if retry_decision(error) is None else Failure.UNREACHABLE
        if isinstance(error, StatusError):
            response = error.response
            if is_missing_bucket(response):
                return Failure.NO_BUCKET
            if response.status == 401 and self._client.credentials.is_anonymous:
                # With credentials the status is 403.
                return Failure.FORBIDDEN
            if response.status == 400 and _ZONAL.search(response.body):
                return Failure.UNSUPPORTED
        return http_failure(error)

    def secrets(self) -> set[str]:
        return super().secrets() | self._client.credentials.secrets()

    def close(self) -> None:
        self._cleanup.close()
        self._client.http.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.http.aclose()

    async def _put(
        self, path: str, data: memoryview, condition: Condition, generation: str | None = None
    ) -> tuple[bool, str | None]:
        """Write an object; return whether the condition was met, and the version if it is known."""
        target = _split(path)
        upload = GCSUpload(self._client, self._reader, target, data, condition, generation)
        chunk_bytes = self._part_bytes(data.nbytes) if self._supports_resumable else None
        try:
            done = await upload.run(self._cleanup, chunk_bytes=chunk_bytes)
        except StatusError as error:
            if error.response.status == 404:
                raise BucketMissingError(target[0]) from error
            raise
        self._buckets.seen.add(target[0])
        return done, upload.written_version

    def _check_generation_suffix(self, path: str) -> str | None:
        """Why a path is invalid: with ``version_aware`` gcsfs reads its end as a generation."""
        if self.fs.version_aware and self.fs.split_path(path)[2] is not None:
            return (
                "version_aware=True makes gcsfs read the end of this path as a generation; a store "
                "holds only the latest generations"
            )
        return None


def _split(path: str) -> tuple[str, str]:
    bucket, _, name = path.partition("/")
    return bucket, name
