"""Uploads that continue with the parts that an interrupted upload of the object has stored.

Services list the unfinished uploads of a key, and the parts of an upload. A part is used if its
size and its MD5, which is its ETag, are those of the new bytes. The ETag of an encrypted part is
not its MD5, so that the part is sent again.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..._core.failures import UploadLostError
from ..._runtime.threads import in_thread
from ..checksums import md5
from ..listed_details import in_utc
from ..object_store.writing import WRITER, Condition
from .requests import (
    HeadObject,
    ListMultipartUploads,
    ListParts,
    MultipartUpload,
)
from .responses import error_code
from .uploads import S3Upload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .client import Client
    from .reading import Reader
    from .requests import StoredPart

__all__ = ["ContinuedUpload"]

#: Error codes of a part or completion if the upload does not exist, has other parts than this
#: writer has sent, or was begun with other options.
_LOST = frozenset(
    {
        "NoSuchUpload",
        "NoSuchKey",
        "404",
        "InvalidPart",
        "InvalidPartOrder",
        "InvalidRequest",
        "EntityTooSmall",
    }
)
#: The algorithms of parts' checksums that this package states with a part.
_ALGORITHMS = (None, "CRC32")
_MD5 = re.compile("[0-9a-f]{32}").fullmatch
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class ContinuedUpload(S3Upload):
    """One write of one object of ``count`` parts, given by bucket and key."""

    def __init__(self, client: Client, reader: Reader, target: tuple[str, str], count: int) -> None:
        super().__init__(client, reader, target, None, Condition.NONE)
        self._count = count
        self._stored: Mapping[int, StoredPart] = {}
        self._is_continued = False
        # Another writer that continues the upload may complete it.
        self._may_be_written = True

    async def start(self) -> bool:
        found = await self._unfinished()
        if found is None:
            return await super().start()
        self._upload, self._stored = found
        self._parts = {}
        return True

    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        stored = self._stored.get(index + 1)
        if stored is not None and await _has_bytes(stored, part):
            self._parts[index] = stored.part
            self._is_continued = True
            return
        with _translated():
            await super().put(index, start, part, is_last=is_last)

    async def complete(self) -> bool:
        with _translated():
            await super().complete()
        version, etag, client = self.written_version, self._etag(), self._client
        if version is None or (etag is None and not self._is_continued):
            return True
        if _unquoted(version) == etag:
            client.has_composite_md5s = True
        elif self._is_continued or client.has_composite_md5s is not False:
            # Another writer has replaced a part, and the service has not compared the ETags. Or
            # the service makes other ETags: later ones are checked only of continued uploads.
            client.has_composite_md5s = client.has_composite_md5s or False
            raise UploadLostError
        return True

    async def abort(self) -> None:
        """Keep the parts, for the next upload of the object."""

    async def _is_stored(self) -> bool:
        try:
            head = await self._client.send(HeadObject(*self._target))
        except FileNotFoundError:
            return False
        is_own = head.headers.get(f"x-amz-meta-{WRITER}") == self.writer
        return is_own or _unquoted(head.headers.get("etag", "")) == self._etag()

    def _etag(self) -> str | None:
        """The ETag of the object, if the ETags of its parts are MD5s."""
        etags = [_unquoted(self._parts[index].etag) for index in sorted(self._parts)]
        if not all(map(_MD5, etags)):
            return None
        return f"{_md5(bytes.fromhex(''.join(etags)))}-{len(etags)}"

    async def _unfinished(self) -> tuple[MultipartUpload, dict[int, StoredPart]] | None:
        """The newest unfinished upload of the object, and its parts; ``None`` to begin one."""
        bucket, key = self._target
        try:
            page = await self._client.send(ListMultipartUploads(bucket, key), self.budget)
            own = [upload for upload in page.uploads if upload.key == key]
            if not own:
                return None
            newest = max(own, key=lambda upload: in_utc(upload.initiated) or _LONG_AGO)
            return await self._parts_of(MultipartUpload(newest.id))
        except OSError as error:
            if error_code(error) is None:
                raise
            # The service has no such list, or does not permit it.
            return None

    async def _parts_of(
        self, upload: MultipartUpload
    ) -> tuple[MultipartUpload, dict[int, StoredPart]] | None:
        request = ListParts(*self._target, upload)
        stored: dict[int, StoredPart] = {}
        while True:
            page = await self._client.send(request, self.budget)
            upload = MultipartUpload(upload.id, page.algorithm)
            for each in page.parts:
                if each.part.number > self._count:
                    # It is of a larger value, or of smaller parts.
                    return None
                if page.algorithm is None or each.part.checksum is not None:
                    stored[each.part.number] = each
            if page.algorithm not in _ALGORITHMS:
                return None
            if page.marker is None or page.marker >= self._count:
                return upload, stored
            if request.marker is not None and page.marker <= request.marker:
                raise OSError("the list of parts does not end")
            request = ListParts(*self._target, upload, page.marker)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error_code(error) not in _LOST:
            raise
        raise UploadLostError from error


async def _has_bytes(stored: StoredPart, part: memoryview) -> bool:
    """Whether a stored part has these bytes."""
    if stored.size != part.nbytes:
        return False
    return _unquoted(stored.part.etag) == await in_thread(_md5, part)


def _md5(data: bytes | memoryview) -> str:
    return md5(data).hexdigest()


def _unquoted(etag: str) -> str:
    return etag.strip('"')
