"""Azure Blob Storage, by its REST API, for accounts that an adlfs filesystem leads to.

One request for each operation, to the service itself: adlfs asks first and keeps a cache of
directories, and the SDK's clients take ten times as long to build a request as aiohttp takes to
send it. Accounts, credentials and addresses are those of the user's filesystem.
"""

from __future__ import annotations

import re
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING

from azure.core.exceptions import ClientAuthenticationError

from ...redaction import request_secrets, secret_options
from ..base import Backend, Failure, Page, is_etag
from ..http_answers import http_failure
from ..page_checks import (
    Continuation,
    answered_prefix,
    check_answered,
    checked_pages,
    refuse_relative,
)
from ..parsing import parsed
from .answers import AzureError, Listing, listing
from .deletes import Deletes
from .reading import Reader
from .requests import Requests, quoted
from .uploads import put_blob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ...byte_requests import ByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats
    from ..http_answers import Answer
    from .uploads import Body

__all__ = ["AzureBackend"]

#: "Naming and Referencing Containers, Blobs, and Metadata"; the names with ``$`` are Azure's own.
_CONTAINER = re.compile(
    r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$(root|web|logs|blobchangefeed)", re.ASCII
)
_MAX_NAME = 1024
_MAX_SEGMENTS = 254
#: What the service changes in a name (dots at the end of a segment are dropped, a backslash is a
#: slash), and what it or the XML of its listings cannot carry.
_NOT_IN_NAMES = re.compile("\\.(?:/|\\Z)|[\\\\\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class AzureBackend(Backend):
    """Blobs of containers, by paths such as ``container/prefix/name``."""

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        super().__init__(fs, policy, stats)
        self._requests = Requests(fs, policy, stats)
        self._reader = Reader(self._requests)
        self._deletes = Deletes(self._requests)
        # The secondary place of an account is a copy that the service itself keeps.
        self.supports_writes = self.supports_deletes = fs.location_mode == "primary"

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        return await self._reader.read(path, request)

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        return await self._reader.get(path, None)

    async def size(self, path: str) -> int | None:
        found = await self._reader.properties(path)
        return None if found is None else found[0]

    async def write(self, path: str, data: memoryview) -> None:
        if not await self._put(path, data, {}):
            raise OSError("the service speaks of a condition, and there was none")

    async def create(self, path: str, data: memoryview) -> bool:
        return await self._put(path, data, {"If-None-Match": "*"})

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        # "*" would stand for any version, and "" for no condition at all.
        return is_etag(version) and await self._put(path, data, {"If-Match": version})

    async def remove(self, path: str) -> None:
        await self._deletes.one(path)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self._deletes.many(paths, limit=limit)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        folders: list[str] = []

        async def blobs() -> AsyncGenerator[Page, None]:
            async with aclosing(self._listings(directory, "", recursive=True)) as listings:
                async for found in listings:
                    below = [each for each in found.folders if each.startswith(directory)]
                    refuse_relative(below, directory)
                    folders.extend(below)
                    yield Page(found.blobs)

        pages = checked_pages(blobs(), directory, "", recursive=True, redactor=self.redactor)
        await self.remove_pages(pages, directory, limit=limit)
        # With a hierarchical namespace these go one by one, and only once they are empty.
        for folder in sorted(folders, reverse=True):
            await self.remove(folder)

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        listings = self._listings(directory, stem, recursive=recursive, page_size=page_size)
        async with aclosing(listings):
            async for found in listings:
                yield Page(found.blobs, [prefix.removesuffix("/") for prefix in found.prefixes])

    def check_root(self, root: str) -> str | None:
        container, _, prefix = root.partition("/")
        if not _CONTAINER.fullmatch(container):
            return "this is no container name"
        if self.fs.version_aware and "?versionid=" in prefix:
            return "a version of a blob is no place for a store"
        return self.check_path(root) if prefix else None

    def check_path(self, path: str) -> str | None:
        name = path.partition("/")[2]
        if _NOT_IN_NAMES.search(name):
            return (
                "Azure takes no control character, no backslash (it becomes a slash), and no dot "
                "at the end of a segment (it is dropped)"
            )
        # A quick look first: a character counts twice at most.
        if len(name) * 2 > _MAX_NAME and len(name.encode("utf-16-le")) > 2 * _MAX_NAME:
            return f"Azure's names have at most {_MAX_NAME} characters, prefix included"
        if name.count("/") >= _MAX_SEGMENTS:
            return f"Azure's names have at most {_MAX_SEGMENTS} segments, prefix included"
        return None

    def failure(self, error: Exception) -> Failure:
        if isinstance(error, AzureError):
            return error.meaning
        if isinstance(error, ClientAuthenticationError):
            return Failure.UNAUTHENTICATED
        return http_failure(error)

    def secrets(self) -> set[str]:
        names = ("account_key", "client_secret", "connection_string", "sas_token")
        # adlfs finds them in the environment as well.
        found = super().secrets() | secret_options(
            {name: getattr(self.fs, name, None) for name in names}
        )
        if self._requests.account.proxy is not None:
            # A proxy may repeat what it was sent.
            with suppress(ValueError):
                found |= request_secrets(self._requests.account.proxy, {})
        return found

    def close(self) -> None:
        self._requests.close()

    async def aclose(self) -> None:
        await self._requests.aclose()

    async def _put(self, path: str, data: memoryview, condition: Mapping[str, str]) -> bool:
        async def put(query: str, headers: Mapping[str, str], body: Body) -> Answer:
            return await self._requests.send(
                "PUT",
                path,
                query,
                expect={201, 404, 409, 412},
                headers=headers,
                data=body,
            )

        async def headers_of() -> Mapping[str, str]:
            return (await self._requests.send("HEAD", path, expect={200, 404})).headers

        return await put_blob(put, partial(self.read, path, None), headers_of, data, condition)

    async def _listings(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Listing, None]:
        """Pages of a listing, with full paths."""
        container, _, prefix = directory.partition("/")
        query = "restype=container&comp=list&include=metadata&prefix=" + quoted(prefix + stem)
        if not recursive:
            query += "&delimiter=%2F"
        # Only the first page is a small one: whoever needs another wants many.
        place = "" if page_size is None else f"&maxresults={page_size}"
        continuation = Continuation()
        while True:
            answer = await self._requests.send("GET", container, query + place, expect={200})
            found = await parsed(listing, answer.body)
            check_answered(answered_prefix(answer.body), prefix + stem)
            page = Listing(
                [(f"{container}/{name}", size) for name, size in found.blobs],
                [f"{container}/{prefix}" for prefix in found.prefixes],
                [f"{container}/{folder}" for folder in found.folders],
                found.marker,
            )
            yield page
            if page.marker is None:
                return
            objects = [*page.blobs, *((folder, 0) for folder in page.folders)]
            continuation.check(page.marker, Page(objects, page.prefixes))
            place = f"&marker={quoted(page.marker)}"
