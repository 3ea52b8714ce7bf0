"""Azure Blob Storage, by its REST API, for accounts that an adlfs filesystem leads to.

One request for each operation, to the service itself: adlfs asks first and keeps a cache of
directories, and the SDK's clients take ten times as long to build a request as aiohttp takes to
send it. Accounts, credentials and addresses are those of the user's filesystem.
"""

from __future__ import annotations

import re
import secrets
from contextlib import aclosing
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import aiohttp
from azure.core.exceptions import (
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from ..._version import __version__
from ...byte_requests import RangeByteRequest, SuffixByteRequest
from ...concurrency import for_each
from ...ranges import is_out_of_range, resolve
from ...retries import EXPIRED, TRANSIENT, status_verdict
from ...threads import in_thread
from ..base import Backend, Failure, Page, RangeNotSatisfiableError, is_etag
from ..byte_ranges import content_length, part_start, range_header, requested_part, total_size
from ..http_answers import (
    Answer,
    LargeBody,
    Received,
    StatusError,
    TornError,
    http_failure,
    http_verdict,
)
from ..http_client import HTTPClient
from ..large_reads import LARGE_BYTES, read_all, read_large
from ..plain_client import PlainClient
from .account import account_of
from .answers import (
    AzureError,
    Listing,
    batch_statuses,
    check_whole,
    error_code,
    is_folder,
    listing,
)
from .uploads import Body, put_blob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ...byte_requests import ByteRequest
    from ...retries import RetryPolicy, Verdict
    from ...sending import Stats
    from .account import Credential

__all__ = ["AzureBackend"]

T = TypeVar("T")

#: "Naming and Referencing Containers, Blobs, and Metadata"; the names with ``$`` are Azure's own.
_CONTAINER = re.compile(
    r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*|\$(root|web|logs|blobchangefeed)", re.ASCII
)
_MAX_NAME = 1024
_MAX_SEGMENTS = 254
#: What the service changes in a name (dots at the end of a segment are dropped, a backslash is a
#: slash), and what it or the XML of its listings cannot carry.
_NOT_IN_NAMES = re.compile("\\.(?:/|\\Z)|[\\\\\x00-\x1f\x7f-\x9f\ufffe\uffff]")
#: Most parts of a batch ("Blob Batch").
_MAX_DELETES = 256
_DELETES_AT_ONCE = 4
#: The object may change between asking for its size and for its end.
_SUFFIX_TRIES = 10
#: A directory that holds something is no object.
_NOTHING_TO_REMOVE = frozenset({"BlobNotFound", "DirectoryIsNotEmpty"})
_READ_STATUSES = frozenset({200, 206, 404, 416})
#: Of every request. A blob that is kept compressed is to come as it is kept.
_OWN_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"fsspec-store/{__version__}"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class AzureBackend(Backend):
    """Blobs of containers, by paths such as ``container/prefix/name``."""

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        super().__init__(fs, policy, stats)
        self._account = account_of(fs)
        judge = partial(_verdict, self._account.credential)
        service = self._account.service
        plain = None
        if self._account.proxy is None and service.isascii():
            plain = PlainClient(service, policy)
        self._http = HTTPClient(service, _new_session, "azure", policy, stats, judge, plain)
        # The secondary place of an account is a copy that the service itself keeps.
        self.supports_writes = self.supports_deletes = fs.location_mode == "primary"
        self._batches = True

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        if isinstance(request, SuffixByteRequest):
            return await self._read_end(path, request)
        found = await self._get(path, request)
        return None if found is None else found[0]

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        return await self._get(path, None)

    async def size(self, path: str) -> int | None:
        found = await self._properties(path)
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
        answer = await self._send("DELETE", path, expect={202, 404, 409})
        if answer.status != 202 and error_code(answer) not in _NOTHING_TO_REMOVE:
            raise AzureError(answer)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        by_container: dict[str, list[str]] = {}
        for path in paths:
            by_container.setdefault(path.partition("/")[0], []).append(path)
        chunks = [
            (container, members[start : start + _MAX_DELETES])
            for container, members in by_container.items()
            for start in range(0, len(members), _MAX_DELETES)
        ]

        async def remove_chunk(chunk: tuple[str, Sequence[str]]) -> None:
            left = await self._remove_batch(*chunk)
            await for_each(self.remove, left, limit=max(1, limit // at_once))

        at_once = min(limit, _DELETES_AT_ONCE)
        await for_each(remove_chunk, chunks, limit=at_once)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        at_once = min(2, limit)
        folders: list[str] = []

        async def batches() -> AsyncGenerator[list[str], None]:
            async for found in self._listings(directory, "", recursive=True):
                folders.extend(found.folders)
                yield [path for path, _ in found.blobs]

        async with aclosing(batches()) as found:
            await for_each(partial(self.remove_many, limit=limit // at_once), found, limit=at_once)
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

    def close(self) -> None:
        self._http.close()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _get(
        self, path: str, request: ByteRequest | None, etag: str | None = None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and their ETag; ``None`` when the blob is missing."""
        try:
            found = await self._ask(path, request, etag, leave_large=True)
            body = found.body
            if isinstance(body, LargeBody):
                whole = await self._read_large(path, request, found, body)
                if whole is None:
                    found = await self._ask(path, request, etag, leave_large=False)
                    body = found.body
                    assert not isinstance(body, LargeBody)
                else:
                    body = whole
        except RangeNotSatisfiableError as error:
            # Every range of a directory is out of bounds, and its answer does not say what it is.
            if not error.size and await self.size(path) is None:
                return None
            raise
        if found.status == 404:
            answer = Answer(found.status, found.headers, bytes(body))
            if error_code(answer) != "BlobNotFound":
                raise AzureError(answer)
            return None
        return None if is_folder(found.headers) else (body, found.headers["ETag"])

    async def _ask(
        self, path: str, request: ByteRequest | None, etag: str | None, *, leave_large: bool
    ) -> Received[bytes | memoryview | LargeBody]:
        """The answer with the bytes asked for; a large body may be left in it."""
        headers = {}
        if (wanted := range_header(request)) is not None:
            headers["x-ms-range"] = wanted
        if etag is not None:
            headers["If-Match"] = etag

        async def fetch(url: str, **options: Any) -> Received[bytes | memoryview | LargeBody]:
            found = await self._http.fetch(url, expect=_READ_STATUSES, **options)
            body = found.body
            if isinstance(body, LargeBody):
                is_asked = found.status == 206 or wanted is None
                if leave_large and is_asked and is_etag(found.headers.get("ETag", "")):
                    return found
                body = await read_all(body.stream, body.size)
            part = await _part(request, found.status, found.headers, body)
            return Received(found.status, found.headers, part)

        return await self._signed("GET", path, "", headers, fetch)

    async def _read_large(
        self,
        path: str,
        request: ByteRequest | None,
        found: Received[Any],
        body: LargeBody,
    ) -> bytes | memoryview | None:
        """A large body, its end by other requests for this very version; ``None`` if torn."""
        etag = found.headers["ETag"]

        async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
            fetch_part = partial(
                self._http.fetch_part,
                part=part,
                sink=sink,
                is_same=lambda headers: headers.get("ETag") == etag,
            )
            headers = {"x-ms-range": range_header(part), "If-Match": etag}
            await self._signed("GET", path, "", headers, fetch_part)

        try:
            first = part_start(found.headers.get("Content-Range"))
            memory = await read_large(body.stream, body.size, fetch, first=first)
            return await _part(request, found.status, found.headers, memory)
        except (TornError, aiohttp.ClientPayloadError):
            return None

    async def _read_end(self, path: str, request: SuffixByteRequest) -> bytes | memoryview | None:
        """The last bytes, which Azure cannot be asked for: the size first, then a range of that."""
        for attempt in range(_SUFFIX_TRIES):
            found = await self._properties(path)
            if found is None:
                return None
            size, etag = found
            if size == 0:
                return b""
            part = RangeByteRequest(*resolve(request, size))
            try:
                found_part = await self._get(path, part, etag)
            except (AzureError, RangeNotSatisfiableError) as error:
                changed = not isinstance(error, AzureError) or error.code == "ConditionNotMet"
                if not changed or attempt == _SUFFIX_TRIES - 1:
                    raise
            else:
                return None if found_part is None else found_part[0]
        raise AssertionError("the last attempt returns or raises")

    async def _properties(self, path: str) -> tuple[int, str] | None:
        """Size and ETag of a blob; ``None`` when it is missing."""
        answer = await self._send("HEAD", path, expect={200, 404})
        if answer.status == 404:
            if error_code(answer) != "BlobNotFound":
                raise AzureError(answer)
            return None
        size = content_length(answer.headers)
        if size is None:
            raise OSError("the service did not say how large the blob is")
        return None if is_folder(answer.headers) else (size, answer.headers["ETag"])

    async def _put(self, path: str, data: memoryview, condition: Mapping[str, str]) -> bool:
        async def put(query: str, headers: Mapping[str, str], body: Body) -> Answer:
            return await self._send(
                "PUT",
                path,
                query,
                expect={201, 404, 409, 412},
                headers=headers,
                data=body,
            )

        return await put_blob(put, partial(self.read, path, None), data, condition)

    async def _listings(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Listing, None]:
        """Pages of a listing, with full paths."""
        container, _, prefix = directory.partition("/")
        query = "restype=container&comp=list&include=metadata&prefix=" + _quoted(prefix + stem)
        if not recursive:
            query += "&delimiter=%2F"
        # Only the first page is a small one: whoever needs another wants many.
        place = "" if page_size is None else f"&maxresults={page_size}"
        marker: str | None = ""
        while marker is not None:
            answer = await self._send("GET", container, query + place, expect={200})
            found = listing(answer.body)
            marker = found.marker
            place = f"&marker={_quoted(marker or '')}"
            yield Listing(
                [(f"{container}/{name}", size) for name, size in found.blobs],
                [f"{container}/{prefix}" for prefix in found.prefixes],
                [f"{container}/{folder}" for folder in found.folders],
                marker,
            )

    async def _remove_batch(self, container: str, paths: Sequence[str]) -> Sequence[str]:
        """Remove blobs of one container in one request; those it failed for are returned."""
        if len(paths) == 1 or not self._batches:
            return paths
        boundary = f"batch_{secrets.token_hex(16)}"
        lines = []
        for number, path in enumerate(paths):
            url_path, url = self._address(path, "")
            headers = await self._account.part_headers("DELETE", url_path)
            lines += [
                f"--{boundary}",
                "Content-Type: application/http",
                "Content-Transfer-Encoding: binary",
                f"Content-ID: {number}",
                "",
                f"DELETE {url.removeprefix(self._account.service)} HTTP/1.1",
                *(f"{name}: {value}" for name, value in headers.items()),
                "",
                "",
            ]
        lines += [f"--{boundary}--", ""]
        body = Body("\r\n".join(lines).encode())
        try:
            answer = await self._send(
                "POST",
                container,
                "restype=container&comp=batch",
                expect={202},
                headers={
                    "Content-Type": f"multipart/mixed; boundary={boundary}",
                    "Content-Length": str(body.size),
                },
                data=body,
            )
        except AzureError as error:
            if status_verdict(error.answer.status, error.answer.headers) is not None:
                raise
            # Not every account and not every signature takes batches.
            self._batches = False
            return paths
        parts = batch_statuses(answer.headers.get("Content-Type", ""), answer.body)
        return [
            path
            for number, path in enumerate(paths)
            if (part := parts.get(number)) is None
            or (part.status != 202 and error_code(part) not in _NOTHING_TO_REMOVE)
        ]

    async def _send(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        expect: Collection[int],
        headers: Mapping[str, str] = _NO_HEADERS,
        data: Body | None = None,
    ) -> Answer:
        send = partial(self._http.once, method, expect=expect, data=data)
        return await self._signed(method, path, query, headers, send)

    async def _signed(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        send: Callable[..., Awaitable[T]],
    ) -> T:
        """Await ``send(url=..., headers=..., ...)`` until it succeeds or fails for good."""
        url_path, url = self._address(path, query)
        account = self._account
        used: object = None

        async def attempt() -> T:
            nonlocal used
            # Signed anew for each attempt: a signature holds for a quarter of an hour.
            sent = await account.headers(method, url_path, query, headers)
            sent.update(_OWN_HEADERS)
            used = account.credential.used()
            return await send(url=url, headers=sent, allow_redirects=False, proxy=account.proxy)

        try:
            return await self._http.send(attempt, renew=lambda: account.credential.renew(used))
        except StatusError as error:
            told = AzureError(error.answer)
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
        # Not chained to the other, whose text is the whole answer.
        raise told

    def _address(self, path: str, query: str) -> tuple[str, str]:
        """The path as it is signed, and the URL."""
        url_path = f"{self._account.base}/{_quoted(path)}"
        return url_path, self._account.url(url_path, query)


def _quoted(path: str) -> str:
    return quote(path, safe="/~")


def _verdict(credential: Credential, error: Exception) -> Verdict | None:
    """Why a request may be sent again."""
    if isinstance(error, StatusError):
        if error.answer.status == 401 and credential.renewable:
            return EXPIRED
        if error_code(error.answer) == "Md5Mismatch":
            return TRANSIENT
    elif isinstance(error, (ServiceRequestError, ServiceResponseError)):
        # On the way to a token.
        return TRANSIENT
    return http_verdict(error)


async def _part(
    request: ByteRequest | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes | memoryview,
) -> bytes | memoryview:
    """The bytes asked for. A blob's Content-Encoding is a note on it, not how it was sent."""
    content_range = headers.get("Content-Range", "")
    if status == 416:
        raise RangeNotSatisfiableError(total_size(content_range))
    if status not in (200, 206):
        return body
    total = content_range.rpartition("/")[2]
    if not body and total.isdigit() and is_out_of_range(request, int(total)):
        # Azurite's answer to a range that starts where the blob ends.
        raise RangeNotSatisfiableError(int(total))
    if status == 200 and len(body) > LARGE_BYTES:
        await in_thread(check_whole, headers, body)
    return requested_part(
        body,
        request,
        status=status,
        content_range=content_range,
        length=content_length(headers),
    )


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # The process's limit for the service is the limit on connections.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Content-Type",),
    )
