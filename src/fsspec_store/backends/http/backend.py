"""Web servers that are read: objects by GET and HEAD, listings where the server has index pages.

Keys are joined to the root's path, quoted, before its query: a token in the query goes with every
request. What a server may do instead of what it was asked (ignore a range, compress, send the page
of a directory) is found out and made up for, or raised; it never becomes the bytes of a key.
"""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from ...byte_requests import RangeByteRequest, SuffixByteRequest
from ...ranges import is_out_of_range, resolve
from ...redaction import public_text
from ...sharing import frozen
from ...threads import in_thread
from ..base import Backend, Failure, Page, RangeNotSatisfiableError
from ..byte_ranges import (
    content_coding,
    content_length,
    part_start,
    range_header,
    refuse_encoded_part,
    requested_part,
    total_size,
)
from ..http_answers import Answer, LargeBody, Received, StatusError, TornError, http_failure
from ..http_client import HTTPClient
from ..large_reads import read_large
from ..streams import BodyStream, read_body
from .bodies import (
    WholeSentError,
    comes_in_parts,
    counted,
    cut_from_whole,
    drain,
    whole_length,
)
from .listing import Listing, parse_index
from .session import check_options, make_session, request_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence

    from fsspec import AbstractFileSystem
    from multidict import CIMultiDict

    from ...byte_requests import ByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["HTTPBackend"]

T = TypeVar("T")

#: How often an object may change while its end is read in two requests.
_CHANGES = 3
_PAGES_AT_ONCE = 16
#: A page longer than this is parsed in a thread.
_LONG_PAGE = 2**16

_MISSING = (404, 410)
#: What servers answer that do not do HEAD; the last where a URL is signed for GET alone.
_HEAD_REFUSED = (405, 501, 403)
#: What says nothing of whether the server lists: who asks has to log in, wait, or ask again.
_ASK_AGAIN = (401, 407, 408, 425, 429)
_ANY_STATUS = range(100, 1000)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class _Place(NamedTuple):
    """Where a store is: its root as the filesystem spells it, and what that is as a URL."""

    root: str
    url: str
    query: str

    def url_of(self, path: str) -> str:
        """The URL of a path below the root, quoted."""
        names = path[len(self.root) :].removeprefix("/").split("/")
        return "/".join([self.url, *(quote(name, safe="") for name in names)]) + self.query


class _MissingError(Exception):
    """There is nothing at this path, or the directory of its name."""


class HTTPBackend(Backend):
    """Files of web servers, by URLs such as ``https://host/data/key``."""

    supports_writes = False
    supports_deletes = False
    supports_atomic_create = False
    supports_replace = False

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats) -> None:
        super().__init__(fs, policy, stats)
        check_options(fs)
        self._options = request_options(fs)
        self._headers = self._options.pop("headers")
        self._place: _Place
        self._client: HTTPClient
        self._answers_head = True
        self._root_lists = False

    def check_root(self, root: str) -> str | None:
        """As the base's; from here on the backend is one of stores at this root.

        Where the root ends and keys begin cannot be told from a path: either may hold ``?``.
        """
        try:
            url = URL(root, encoded=self.fs.encoded)
            place, query = str(url.with_query(None).with_fragment(None)), url.raw_query_string
            port = url.port
        except ValueError:
            return "this is no URL"
        if not url.host or url.scheme not in ("http", "https"):
            return "this URL names no web server"
        if url.raw_fragment or "#" in root:
            return "a URL on a web server has no #; in a name it is written %23"
        if url.raw_user is not None and "Authorization" in self._headers:
            return "the URL has a user name, and the options say who asks as well"
        self._place = _Place(root, place.rstrip("/"), query and "?" + query)
        self._client = HTTPClient(
            f"{url.scheme}://{url.host}:{port}",
            partial(make_session, self.fs),
            ("http", frozen(self.fs.client_kwargs), frozen(self.fs.get_client)),
            self.policy,
            self.stats,
        )
        return None

    async def discover(self, directory: str) -> None:
        try:
            # One attempt's time: opening a store waits no longer for what it can do without.
            async with asyncio.timeout(self.policy.timeout):
                await self._list(directory)
        except StatusError as error:
            status = error.answer.status
            if 400 <= status < 500 and status not in _ASK_AGAIN:
                self.supports_listing = False
        except Exception:
            # Of a server without listings `_list` takes note.
            pass

    # -- Objects -------------------------------------------------------------------------------

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            answer = await self._get(path, request, again=True)
        except WholeSentError as whole:
            return await self._read_end(path, request, whole.size)
        if answer is None or answer.status != 416:
            return None if answer is None else answer.body
        size = total_size(answer.headers.get("Content-Range"))
        if not isinstance(request, SuffixByteRequest):
            raise RangeNotSatisfiableError(size)
        # Of an empty object there is no suffix, and some servers have none of any.
        if size is None:
            size = await self.size(path)
            if size is None:
                return None
        return await self._read_end(path, request, size) if size else b""

    async def size(self, path: str) -> int | None:
        refused = None
        if self._answers_head:
            refused = await self._send("HEAD", path, accept=(200, *_HEAD_REFUSED), receive=_nothing)
            if refused is None:
                return None
            if refused.status == 200:
                length = whole_length(refused.headers)
                if length is not None:
                    return length
        size = await self._size_by_get(path)
        if refused is not None:
            # Answered where HEAD was not: asked first from now on.
            self._answers_head = False
        return size

    async def write(self, path: str, data: memoryview) -> None:
        raise NotImplementedError("web servers are only read")

    async def remove(self, path: str) -> None:
        raise NotImplementedError("web servers are only read")

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        raise NotImplementedError("web servers are only read")

    # -- Listings ------------------------------------------------------------------------------

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        # Last in, first out: of a deep tree few directories wait.
        waiting = [directory]
        running: dict[asyncio.Task[Listing], str] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _PAGES_AT_ONCE:
                    place = waiting.pop()
                    running[asyncio.ensure_future(self._list(place))] = place
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    place = running[task]
                    listing = task.result()
                    del running[task]
                    start = stem if place == directory else ""
                    objects, prefixes = (
                        [place + name for name in names if name.startswith(start)]
                        for names in listing
                    )
                    if recursive:
                        waiting += [prefix + "/" for prefix in prefixes]
                    yield Page([(path, None) for path in objects], () if recursive else prefixes)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def close(self) -> None:
        self._client.close()

    async def aclose(self) -> None:
        await self._client.aclose()

    # -- How a part is got ---------------------------------------------------------------------

    async def _get(
        self, path: str, request: ByteRequest | None, *, again: bool
    ) -> Received[bytes | memoryview] | None:
        """Ask for a part; 416 is an answer.

        Parameters
        ----------
        again : bool
            Raise `WholeSentError` where it is worth while to ask once more, with a last byte.
        """
        found = await self._ask(path, request, again=again, leave_large=True)
        if found is None:
            return None
        body = found.body
        if isinstance(body, LargeBody):
            whole = await self._read_large(path, request, found, body)
            if whole is not None:
                return Received(found.status, found.headers, whole)
            found = await self._ask(path, request, again=again, leave_large=False)
            if found is None:
                return None
            body = found.body
            assert not isinstance(body, LargeBody)
        return Received(found.status, found.headers, body)

    async def _ask(
        self, path: str, request: ByteRequest | None, *, again: bool, leave_large: bool
    ) -> Received[bytes | memoryview | LargeBody] | None:
        """As `_get`; a large body that can be read in parts may be left in the answer."""
        asked = range_header(request)

        async def receive(response: aiohttp.ClientResponse) -> bytes | memoryview | LargeBody:
            status, headers = response.status, response.headers
            if status == 416:
                await drain(response)
                return b""
            refuse_encoded_part(status, headers)
            ignored = status == 200 and "Content-Range" not in headers
            if asked is not None and ignored:
                return await cut_from_whole(response, request, again=again)
            size = whole_length(headers)
            if leave_large and size is not None and comes_in_parts(status, size, headers):
                return LargeBody(BodyStream(response), size)
            body = await read_body(response, size)
            return _part(request, status, headers, body)

        if asked is None:
            return await self._send("GET", path, accept=(200,), receive=receive)
        return await self._send(
            "GET", path, accept=(200, 206, 416), receive=receive, headers={"Range": asked}
        )

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
            await self._client.send(
                lambda: self._client.fetch_part(
                    self._place.url_of(path),
                    part,
                    sink,
                    headers=self._with_own({"Range": range_header(part), "If-Match": etag}),
                    is_same=lambda headers: (
                        headers.get("ETag") == etag and not content_coding(headers)
                    ),
                    **self._options,
                )
            )

        try:
            first = part_start(found.headers.get("Content-Range"))
            memory = await read_large(body.stream, body.size, fetch, first=first)
            return _part(request, found.status, found.headers, memory)
        except (TornError, StatusError, aiohttp.ClientPayloadError):
            # Not every server that takes ranges takes them under a condition.
            return None

    async def _read_end(
        self, path: str, request: ByteRequest | None, size: int
    ) -> bytes | memoryview | None:
        """Read the end of an object of known size, as a range that names its last byte.

        All of it is of one answer, which says the size once more: nothing is put together.
        """
        for _ in range(_CHANGES):
            if is_out_of_range(request, size):
                raise RangeNotSatisfiableError(size)
            part = RangeByteRequest(*resolve(request, size))
            answer = await self._get(path, part, again=False)
            if answer is None:
                return None
            now = _whole_size(answer)
            if answer.status != 416 and now in (size, None):
                return answer.body
            if now is None:
                now = await self.size(path)
                if now is None:
                    return None
            size = now
        raise OSError(f"the object changed {_CHANGES} times while its end was read")

    async def _size_by_get(self, path: str) -> int | None:
        """The size by asking for the first byte, or, of a compressed object, by counting."""

        async def receive(response: aiohttp.ClientResponse) -> bytes:
            if response.status == 200 and whole_length(response.headers) is None:
                return b"%d" % await counted(response)
            if response.status != 200:
                await drain(response)
            return b""

        headers = {"Range": "bytes=0-0"}
        answer = await self._send(
            "GET", path, accept=(200, 206, 416), receive=receive, headers=headers
        )
        if answer is not None and answer.status == 206 and _whole_size(answer) is None:
            answer = await self._send("GET", path, accept=(200,), receive=receive)
        if answer is None:
            return None
        if answer.body:
            return int(answer.body)
        size = _whole_size(answer)
        # Nothing but an empty object has no first byte.
        return 0 if size is None else size

    async def _list(self, directory: str) -> Listing:
        """What a directory's index page lists, nothing if it is missing from one that lists.

        Raises
        ------
        NotImplementedError
            When the server answers, but not with an index page.
        """
        is_root = directory == self._place.root + "/"
        at = URL()

        async def receive(response: aiohttp.ClientResponse) -> bytes:
            nonlocal at
            at = response.url
            return await response.read()

        answer = await self._send("GET", directory, accept=(200,), receive=receive)
        if answer is None and not is_root:
            # Missing, or one of a server that lists nothing: the root tells.
            if not self._root_lists:
                await self._list(self._place.root + "/")
            return Listing([], [])
        listing = None if answer is None else await self._parsed(answer, directory, at)
        if listing is None:
            if is_root:
                self.supports_listing = False
            raise NotImplementedError(
                "the server gives no listing of " + public_text(self._place.url_of(directory))
            )
        if is_root:
            self._root_lists = True
        return listing

    async def _parsed(self, answer: Received[bytes], directory: str, at: URL) -> Listing | None:
        kind, _, parameters = answer.headers.get("Content-Type", "").partition(";")
        # Led elsewhere, it is not this directory's page.
        if kind.strip().lower() not in ("text/html", "application/xhtml+xml") or (
            at.path != URL(self._place.url_of(directory), encoded=True).path
        ):
            return None
        charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
        try:
            page = answer.body.decode(charset, "surrogateescape")
        except LookupError:
            page = answer.body.decode("utf-8", "surrogateescape")
        if len(page) > _LONG_PAGE:
            return await in_thread(parse_index, page, str(at))
        return parse_index(page, str(at))

    async def _send(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        receive: Callable[[aiohttp.ClientResponse], Awaitable[T]],
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Received[T] | None:
        """Send a request; ``None`` when there is no object, `StatusError` for other statuses."""

        async def checked(response: aiohttp.ClientResponse) -> T:
            if _leads_to_directory(response):
                raise _MissingError
            if response.status in accept:
                return await receive(response)
            await drain(response)
            if response.status in _MISSING:
                raise _MissingError
            # The reason instead of the body: servers repeat signatures in their error pages.
            reason = (response.reason or "").encode()
            raise StatusError(Answer(response.status, response.headers, reason))

        url, sent = self._place.url_of(path), self._with_own(headers)

        async def attempt() -> Received[T] | None:
            try:
                return await self._client.receive(
                    method, url, expect=_ANY_STATUS, headers=sent, read=checked, **self._options
                )
            except _MissingError:
                return None

        return await self._client.send(attempt)

    def _with_own(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The user's headers and these."""
        sent: CIMultiDict[str] = self._headers.copy()
        sent.update(headers)
        # Of a compressed body no range can be cut, and no length is the object's.
        sent["Accept-Encoding"] = "identity"
        return sent


def _part(
    request: ByteRequest | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes | memoryview,
) -> bytes | memoryview:
    """The bytes that were asked for, of a decoded body."""
    return requested_part(
        body,
        request,
        status=status,
        content_range=headers.get("Content-Range"),
        # An encoded body's announced length is that of the encoding, and aiohttp's to check.
        length=whole_length(headers),
    )


async def _nothing(response: aiohttp.ClientResponse) -> bytes:
    """Nothing of a body."""
    return b""


def _leads_to_directory(response: aiohttp.ClientResponse) -> bool:
    """Whether the server redirected from a path to the same path with ``/`` at its end."""
    hops: list[Any] = [*response.history, response]
    return any(hop.url.path + "/" == then.url.path for hop, then in pairwise(hops))


def _whole_size(answer: Received[Any]) -> int | None:
    """The object's size, from an answer that is it, or part of it, or out of its range."""
    if content_coding(answer.headers):
        return None
    if answer.status == 200:
        return content_length(answer.headers)
    return total_size(answer.headers.get("Content-Range"))
