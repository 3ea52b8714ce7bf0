"""Azure Blob Storage, through its REST API.

This package sends its own requests, one per operation: adlfs sends further requests and caches
directories, and Azure's SDK takes ten times as long to build a request as aiohttp takes to send it.
The adlfs filesystem supplies the configuration: endpoint, account, credentials.
"""

from __future__ import annotations

import re
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from azure.core.exceptions import (
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from ..._core.failures import Failure
from ..._core.leftovers import BLOCKS, Leftover
from ..._core.redaction import request_secrets, secret_options
from ..._core.versions import is_etag
from ..._http.parsing import parsed
from ..._http.responses import http_failure
from ..._http.settings import PartLimits, Settings
from ..base import Backend
from ..cleanup import Cleanup
from ..object_store.streamed_reads import open_stream
from ..object_store.streamed_writes import PartWriter
from ..object_store.writing import Condition
from ..pages import Page, check_stated_prefix, pages_by_token, refuse_relative, stated_prefix
from ..traits import Traits
from .bulk_delete import AzureBulkDelete
from .client import Client, quoted
from .continued_uploads import ContinuedUpload
from .copies import LARGEST_COPY, copy_blob
from .reading import Reader
from .responses import AzureError, details_of, listing, uncommitted_blobs
from .uploads import MAX_PUT_BYTES, AzureUpload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.streams import OpenValue, ValueWriter
    from ..pages import Details

__all__ = ["AzureBackend"]

#: "Naming and Referencing Containers, Blobs, and Metadata"; names with ``$`` are reserved.
_CONTAINER_NAME = re.compile(
    r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$(root|web|logs|blobchangefeed)", re.ASCII
)
_MAX_LENGTH = 1024
_MAX_SEGMENTS = 254
#: "Put Block": a block has at most 4000 MiB; "Put Block List": a blob has at most 50,000.
_PART_LIMITS = PartLimits("Azure", largest=4000 * 2**20, most=50_000, largest_request=MAX_PUT_BYTES)
#: What the service changes in a name (it drops a dot at the end of a segment, a backslash becomes a
#: slash), and characters that are invalid in a name or in XML.
_INVALID_IN_NAMES = re.compile("\\.(?:/|\\Z)|[\\\\\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class AzureBackend(Backend):
    """Blobs of containers, by paths such as ``container/prefix/name``."""

    streams = True
    part_limits = _PART_LIMITS
    traits = Traits(
        "ETag",
        ("md5",),
        largest_copy=LARGEST_COPY,
        longest_key=f"{_MAX_LENGTH:,} characters, {_MAX_SEGMENTS} segments",
        forbidden="backslashes, control characters, dots at the end of a segment",
    )
    #: "List Blobs", of a flat namespace.
    lists_in_order = True

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._client = Client(fs, settings)
        self._reader = Reader(self._client, settings.reads)
        self._bulk_delete = AzureBulkDelete(self._client)
        self._cleanup = Cleanup()
        # The secondary endpoint of an account is a read-only replica.
        self.supports_writes = self.supports_deletes = fs.location_mode == "primary"

    @property
    def address(self) -> str | None:
        return self._client.account.service

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await self._reader.read(path, request)

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        return await open_stream(
            self._reader,
            (path, None),
            start,
            version,
            get=partial(self._reader.blob, path),
            read_version=partial(self.read_version, path),
            read=partial(self.read, path),
        )

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        return await self._reader.read_version(path)

    async def size(self, path: str) -> int | None:
        found = await self._reader.properties(path)
        return None if found is None else found[0]

    async def stat(self, path: str) -> tuple[int, Details] | None:
        found = await self._reader.head(path)
        return None if found is None else (found[0], details_of(found[1]))

    async def write(self, path: str, data: memoryview) -> str | None:
        return (await self._put(path, data, Condition.NONE))[1]

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        upload = AzureUpload(self._client, self._reader, path, None, Condition.NONE)
        return self._part_writer(upload, path, size)

    def continue_writer(self, path: str, size: int) -> ValueWriter:
        upload = ContinuedUpload(self._client, self._reader, path)
        return self._part_writer(upload, path, size)

    def _part_writer(self, upload: AzureUpload, path: str, size: int | None) -> PartWriter:
        part_bytes = partial(self._streamed_part_bytes, size)
        return PartWriter(upload, partial(self.write, path), part_bytes, self._cleanup, size=size)

    async def create(self, path: str, data: memoryview) -> bool:
        return (await self._put(path, data, Condition.CREATE))[0]

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        # "*" means any version, and "" no condition.
        if not is_etag(version):
            return False
        return (await self._put(path, data, Condition.REPLACE, version))[0]

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        return await copy_blob(self._client, self._reader, source_path, path, version)

    async def remove(self, path: str) -> None:
        await self._bulk_delete.delete(*_split(path))

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self._bulk_delete.delete_many(map(_split, paths), limit=limit)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        folders: list[str] = []

        async def pages() -> AsyncGenerator[Page, None]:
            async with aclosing(self.checked_pages(directory, "", recursive=True)) as checked:
                async for page in checked:
                    below = [each for each in page.folders if each.startswith(directory)]
                    refuse_relative(below, directory)
                    folders.extend(below)
                    yield page

        await self.remove_pages(pages(), directory, limit=limit)
        # With a hierarchical namespace only empty directories can be deleted, one by one.
        for folder in sorted(folders, reverse=True):
            await self.remove(folder)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return self._pages(directory, name_prefix, recursive, page_size, details=False)

    async def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        pages = self._pages(directory, name_prefix, recursive, page_size, details=True)
        async with aclosing(pages):
            async for page in pages:
                # A hierarchical namespace lists a directory, and all below it, before "a-" etc.
                if page.folders:
                    self.lists_in_order = False
                yield page

    def _pages(
        self,
        directory: str,
        name_prefix: str,
        recursive: bool,
        page_size: int | None,
        *,
        details: bool,
    ) -> AsyncGenerator[Page, None]:
        container, prefix = _split(directory + name_prefix)
        query = "include=metadata" if recursive else "include=metadata&delimiter=%2F"
        # Only the first page is small: a caller that needs another one wants many entries.
        first = "" if page_size is None else f"&maxresults={page_size}"
        return self._listed(
            container, prefix, query, first, partial(listing, container, details=details)
        )

    def _listed(
        self,
        container: str,
        prefix: str,
        query: str,
        first: str,
        parse: Callable[[bytes], tuple[Page, str]],
    ) -> AsyncGenerator[Page, None]:
        """The parsed pages of a listing; ``first`` is added to the query of the first one."""
        query = f"restype=container&comp=list&{query}&prefix={quoted(prefix)}"

        async def fetch(marker: str) -> tuple[Page, str]:
            page_query = query + (f"&marker={quoted(marker)}" if marker else first)
            response = await self._client.request("GET", container, page_query, expect={200})
            found = await parsed(parse, response.body)
            check_stated_prefix(stated_prefix(response.body), prefix)
            return found

        return pages_by_token(fetch)

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        container, prefix = _split(directory)
        pages = self._listed(
            container,
            prefix,
            "include=metadata,uncommittedblobs",
            "",
            partial(uncommitted_blobs, container),
        )
        async with aclosing(pages):
            async for page in pages:
                for path, _ in page.objects:
                    if path.startswith(directory):
                        yield Leftover(path, BLOCKS, None)

    def check_root(self, root: str) -> str | None:
        container, _, prefix = root.partition("/")
        if not _CONTAINER_NAME.fullmatch(container):
            return "invalid container name"
        if self.fs.version_aware and "?versionid=" in prefix:
            return "the root must not be a version of a blob"
        return self.check_path(root) if prefix else None

    def check_path(self, path: str) -> str | None:
        name = path.partition("/")[2]
        if _INVALID_IN_NAMES.search(name):
            return (
                "Azure does not support control characters, backslashes (they become slashes), and "
                "dots at the end of a segment (they are dropped)"
            )
        # Azure counts UTF-16 code units: a character has at most two.
        if len(name) * 2 > _MAX_LENGTH and len(name.encode("utf-16-le")) > 2 * _MAX_LENGTH:
            return f"Azure's names have at most {_MAX_LENGTH} characters, prefix included"
        if name.count("/") >= _MAX_SEGMENTS:
            return f"Azure's names have at most {_MAX_SEGMENTS} segments, prefix included"
        return None

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, AzureError):
            return error.failure
        if isinstance(error, ClientAuthenticationError):
            return Failure.UNAUTHENTICATED
        if isinstance(error, (ServiceRequestError, ServiceResponseError)):
            # A request for a token failed.
            return Failure.UNREACHABLE
        return http_failure(error)

    def secrets(self) -> set[str]:
        names = ("account_key", "client_secret", "connection_string", "sas_token")
        # adlfs also reads them from the environment.
        found = super().secrets() | secret_options(
            {name: getattr(self.fs, name, None) for name in names}
        )
        if self._client.account.proxy is not None:
            # An error of the proxy may repeat its credentials.
            with suppress(ValueError):
                found |= request_secrets(self._client.account.proxy, {})
        return found

    def close(self) -> None:
        self._cleanup.close()
        self._client.http.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.http.aclose()

    async def _put(
        self, path: str, data: memoryview, condition: Condition, etag: str | None = None
    ) -> tuple[bool, str | None]:
        """Write a blob; return whether the condition was met, and the version if it is known."""
        upload = AzureUpload(self._client, self._reader, path, data, condition, etag)
        done = await upload.run(block_bytes=self._part_bytes(data.nbytes))
        return done, upload.written_version


def _split(path: str) -> tuple[str, str]:
    container, _, name = path.partition("/")
    return container, name
