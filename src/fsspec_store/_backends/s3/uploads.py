"""Writes objects: in one request, or in parts that become an object at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.versions import is_etag
from ..object_store.writing import (
    WRITER,
    Condition,
    Upload,
    WriteFailure,
    failure_of_status,
    upload_parts,
)
from .client import Client
from .reading import Reader
from .requests import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    HeadObject,
    PutObject,
    UploadPart,
)
from .responses import PRECONDITION_FAILED, error_code, error_status

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..cleanup import Cleanup
    from .requests import Part

__all__ = ["S3Upload"]

#: Error codes of a repeated completion after the first one succeeded.
_GONE = frozenset({"NoSuchUpload", "NoSuchKey"})


class S3Upload(Upload[Client, Reader, tuple[str, str]]):
    """One write of one object, given by bucket and key."""

    async def run(self, cleanup: Cleanup, *, part_bytes: int | None = None) -> bool:
        """Write the value, in one request or in parts of this size.

        Return ``False`` when the condition is not met.
        """
        if part_bytes is not None:
            return await self._run_parts(cleanup, part_bytes)
        put = PutObject(*self._target, self._data, *self._conditions, self._metadata)
        return await self._write(put)

    @property
    def _conditions(self) -> tuple[str | None, str | None]:
        """The headers ``If-None-Match`` and ``If-Match``."""
        return "*" if self._condition is Condition.CREATE else None, self._version

    @property
    def _metadata(self) -> dict[str, str] | None:
        return None if self.writer is None else {WRITER: self.writer}

    async def _write(self, request: PutObject | CompleteMultipartUpload) -> bool:
        """Send the request that writes the object."""

        def attempt() -> Awaitable[str]:
            return self._attempt(self._client.send_once(request))

        result = await self._result(self._client.retry(attempt, self.budget))
        if isinstance(result, str) and is_etag(result):
            self.written_version = result
        return result is not False

    async def _run_parts(self, cleanup: Cleanup, part_bytes: int) -> bool:
        await self.start()
        try:
            await upload_parts(self, self._data, part_bytes)
            is_written = await self.complete()
        except BaseException as error:
            # Parts of an unfinished upload are not listed as keys, and cost money.
            await cleanup.run(self.abort, error)
            raise
        if not is_written:
            await cleanup.run(self.abort)
        return is_written

    async def start(self) -> bool:
        create = CreateMultipartUpload(*self._target, self._metadata)
        self._upload = await self._client.send(create, self.budget)
        self._parts: dict[int, Part] = {}
        return True

    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        request = UploadPart(*self._target, self._upload, index + 1, part)
        self._parts[index] = await self._client.send(request, self._part_budget())

    async def complete(self) -> bool:
        parts = [self._parts[index] for index in sorted(self._parts)]
        return await self._write(
            CompleteMultipartUpload(*self._target, self._upload, parts, *self._conditions)
        )

    async def abort(self) -> None:
        await self._client.send(AbortMultipartUpload(*self._target, self._upload))

    def _failure(self, error: Exception) -> WriteFailure:
        code = error_code(error)
        if code == "NoSuchKey" and self._condition is Condition.REPLACE:
            return WriteFailure.CONDITION_NOT_MET
        if code in PRECONDITION_FAILED:
            return WriteFailure.CONDITION_NOT_MET
        return WriteFailure.UPLOAD_GONE if code in _GONE else failure_of_status(error_status(error))

    async def _read_back(self) -> bytes | memoryview | None:
        found = await self._reader.read(self._target)
        return None if found is None else found.body

    async def _read_writer(self) -> str | None:
        try:
            head = await self._client.send(HeadObject(*self._target))
        except FileNotFoundError:
            return None
        return head.headers.get(f"x-amz-meta-{WRITER}")
