"""WebDAV servers, by RFC 4918.

This package sends its own requests: webdav4 blocks a thread for each, follows redirects with
credentials, and looks for each parent of a file that it writes. Its filesystem supplies the
configuration: base URL, credentials, headers, TLS.

DELETE and MOVE also apply to a collection with all that is below it (sections 9.6 and 9.9). A key
is removed only after a PROPFIND shows that it is a file.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ..._core.redaction import public_url
from ..._http.origins import origin_of
from ..._http.responses import StatusError, http_failure, retry_decision_of_error
from ..._http.retry_policy import TRANSIENT
from ..._runtime.concurrency import for_each
from ..base import Backend
from ..cleanup import Cleanup
from ..pages import Page
from ..temporary_names import REFUSED, is_temporary
from ..web_client.client import Location, WebClient
from ..web_client.folder_walk import walk
from ..web_client.reading import Reader
from ..web_client.redirects import Redirects
from ..web_client.session import request_options
from .properties import is_collection, propfind
from .session import check_options
from .writing import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.byte_requests import ByteRequest
    from ..._core.failures import Failure
    from ..._http.retry_policy import RetryDecision
    from ..._http.settings import Settings

__all__ = ["WebDAVBackend"]

_MAX_NAME_BYTES = 255


class WebDAVBackend(Backend):
    """Files of a WebDAV server, by paths relative to the base URL."""

    hides_missing_keys = False
    #: Some servers compute ETags from the time in seconds and the size, which two values may share.
    supports_replace = False
    fs: Any

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        url, http = check_options(fs)
        options = request_options(http)
        redirects = Redirects(url, {origin_of(url)}, options.pop("headers"), options)
        location = Location("", str(url.with_user(None)).rstrip("/"), "")
        service = f"{url.scheme}://{url.host}:{url.port}"
        self._base = url.path.rstrip("/")
        self._client = WebClient(http, service, location, redirects, settings, _retry_decision)
        self._reader = Reader(self._client, settings.reads)
        self._cleanup = Cleanup()
        self._writer = Writer(self._client, self._is_empty, self._cleanup, settings.policy.timeout)

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            return await self._reader.read(path, request)
        except StatusError as error:
            # A GET of a collection (RFC 4918, section 9.4).
            if error.response.status == 405:
                return None
            raise

    async def size(self, path: str) -> int | None:
        found = await propfind(self._client, path, 0)
        if not found or found[0].is_collection:
            return None
        # The property is optional (RFC 4918, section 15.4).
        return found[0].size if found[0].size is not None else await self._reader.size(path)

    async def write(self, path: str, data: memoryview) -> None:
        await self._writer.write(path, data)

    async def create(self, path: str, data: memoryview) -> bool:
        try:
            return await self._writer.create(path, data)
        except NotImplementedError:
            self.supports_atomic_create = False
            raise

    async def remove(self, path: str) -> None:
        if await is_collection(self._client, path) is False:
            await self._writer.delete(path)

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await for_each(self.remove, paths, limit=limit)

    async def remove_below(self, directory: str, *, limit: int, is_root: bool) -> None:
        # A DELETE of a collection removes all below it.
        if not is_root:
            if await is_collection(self._client, directory):
                await self._writer.delete(directory)
            return
        page = await self._list_folder(directory)
        paths = [path for path, _ in page.objects] + [f"{path}/" for path in page.prefixes]
        await for_each(self._writer.delete, [*paths, *page.temporary], limit=limit)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        return walk(
            directory,
            name_prefix,
            recursive=recursive,
            list_folder=self._list_folder,
            url_of=lambda path: public_url(self._client.location.url_of(path)),
        )

    async def _is_empty(self, path: str) -> bool:
        """Whether there is no file below a collection."""
        async with aclosing(self.pages(f"{path}/", "", recursive=True)) as pages:
            async for page in pages:
                if page.objects or page.temporary:
                    return False
        return True

    async def _list_folder(self, directory: str) -> Page:
        """The direct children of a directory, with full paths.

        Many servers refuse to list all descendants at once (RFC 4918, section 9.1).
        """
        objects: list[tuple[str, int | None]] = []
        prefixes: list[str] = []
        temporary: list[str] = []
        for entry in await propfind(self._client, directory, 1) or ():
            path = entry.path.removeprefix(f"{self._base}/")
            if f"{path}/" == directory or entry.path == self._base:
                if not entry.is_collection:
                    return Page([])
            elif entry.is_collection:
                prefixes.append(path)
            elif is_temporary(path):
                temporary.append(path)
            else:
                objects.append((path, entry.size))
        return Page(objects, prefixes, temporary)

    def check_path(self, path: str) -> str | None:
        # The names are those of files.
        if any(len(name.encode()) > _MAX_NAME_BYTES for name in path.split("/")):
            return f"names have at most {_MAX_NAME_BYTES} bytes"
        return REFUSED if is_temporary(path) else None

    def failure(self, error: Exception) -> Failure:
        return http_failure(error)

    def close(self) -> None:
        self._cleanup.close()
        self._client.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.aclose()


def _retry_decision(error: Exception) -> RetryDecision | None:
    # 423: another writer holds a lock for a short time.
    if isinstance(error, StatusError) and error.response.status == 423:
        return TRANSIENT
    return retry_decision_of_error(error)
