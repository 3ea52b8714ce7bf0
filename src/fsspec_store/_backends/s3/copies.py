"""Copies objects on the service: in one request, or in parts that become an object at the end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import botocore.exceptions

from ..._core.failures import ChangedWhileReadError
from ..._core.versions import is_etag
from ..._runtime.concurrency import for_each
from ..object_store.writing import Condition
from .requests import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateMultipartUpload,
    HeadObject,
    UploadPartCopy,
)
from .responses import PRECONDITION_FAILED, error_code
from .uploads import S3Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..cleanup import Cleanup
    from .client import Client
    from .reading import Reader
    from .requests import ObjectHead, Part

__all__ = ["S3Copies"]

#: Error codes of an object of more than 5 GiB; the second one has other reasons as well.
_TOO_LARGE = frozenset({"EntityTooLarge", "InvalidRequest"})
_TIMEOUTS = (TimeoutError, botocore.exceptions.ReadTimeoutError)
#: The service copies parts of its own data: more at once than a client uploads.
_CONCURRENT_PARTS = 16
_META = "x-amz-meta-"
#: botocore's parameters by response header, for metadata that a copy keeps.
_CONTENT = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
}


@dataclass
class S3Copies:
    """Copies objects, given by bucket and key.

    ``part_bytes`` returns the size of the parts of an object of some size, ``None`` if it is to be
    copied in one request.
    """

    client: Client
    reader: Reader
    cleanup: Cleanup
    part_bytes: Callable[[int], int | None]

    async def copy(
        self, source: tuple[str, str], target: tuple[str, str], version: str | None
    ) -> None:
        """Copy an object; ``FileNotFoundError`` if it is missing.

        Raises `ChangedWhileReadError` if the version is another one.
        """
        if version is not None and not is_etag(version):
            # "*" means any version, and "" no condition.
            await self.client.send(HeadObject(*source))
            raise ChangedWhileReadError
        try:
            if not await self.client.retry(partial(self._copy_once, source, target, version)):
                await self._copy_sized(source, target, version)
        except OSError as error:
            if error_code(error) not in PRECONDITION_FAILED:
                raise
            raise ChangedWhileReadError from error

    async def _copy_once(
        self, source: tuple[str, str], target: tuple[str, str], version: str | None
    ) -> bool:
        """One attempt to copy in one request; ``False`` if the object may be too large for it."""
        try:
            await self.client.send_once(CopyObject(*target, source, version))
        except _TIMEOUTS:
            return False
        except OSError as error:
            if error_code(error) not in _TOO_LARGE:
                raise
            return False
        return True

    async def _copy_sized(
        self, source: tuple[str, str], target: tuple[str, str], version: str | None
    ) -> None:
        head = await self.client.send(HeadObject(*source, version))
        part_bytes = self.part_bytes(head.length or 0)
        if head.length is None or part_bytes is None:
            await self.client.send(CopyObject(*target, source, version))
        else:
            copy = _CopyInParts(self.client, self.reader, source, target, head)
            await copy.run_parts(self.cleanup, head.length, part_bytes)


class _CopyInParts(S3Upload):
    """A copy of one version of an object, in parts."""

    def __init__(
        self,
        client: Client,
        reader: Reader,
        source: tuple[str, str],
        target: tuple[str, str],
        head: ObjectHead,
    ) -> None:
        super().__init__(client, reader, target, memoryview(b""), Condition.NONE)
        # Stored with the copy: after a lost response its bytes cannot be compared.
        self.writer = secrets.token_hex(8)
        self._source = source
        self._head = head

    async def run_parts(self, cleanup: Cleanup, size: int, part_bytes: int) -> None:
        client, target, headers = self._client, self._target, self._head.headers
        create = CreateMultipartUpload(*target, self._kept(headers), _content(headers))
        upload = await client.send(create, self.budget)
        parts: dict[int, Part] = {}

        async def copy_part(start: int) -> None:
            part = UploadPartCopy(
                *target,
                upload,
                start // part_bytes + 1,
                self._source,
                f"bytes={start}-{min(start + part_bytes, size) - 1}",
                headers.get("etag"),
            )
            parts[start] = await client.send(part, self.budget)

        try:
            await for_each(copy_part, range(0, size, part_bytes), limit=_CONCURRENT_PARTS)
            # A service may ignore the condition of parts.
            await client.send(HeadObject(*self._source, headers.get("etag")), self.budget)
            in_order = [parts[start] for start in sorted(parts)]
            await self._write(CompleteMultipartUpload(*target, upload, in_order))
        except BaseException as error:
            abort = AbortMultipartUpload(*target, upload)
            await cleanup.run(partial(client.send, abort), error)
            raise

    def _kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The user's metadata, and the writer of this copy."""
        own = {
            name.removeprefix(_META): value
            for name, value in headers.items()
            if name.startswith(_META)
        }
        return {**own, **(self._metadata or {})}


def _content(headers: Mapping[str, str]) -> dict[str, str]:
    return {_CONTENT[name]: value for name, value in headers.items() if name in _CONTENT}
