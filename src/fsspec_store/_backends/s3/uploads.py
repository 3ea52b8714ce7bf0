"""How a value gets to S3: in one request, or in parts that become an object at the end.

After a lost response the value is read back: the write may have succeeded, and then its repetition
fails. Knows S3's calls, and not how one is sent.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from ..._runtime.concurrency import for_each
from .responses import CONFLICT, PRECONDITION_FAILED, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..cleanup import Cleanup
    from .calls import Calls
    from .transports import Transports

__all__ = ["Upload"]

_PARTS_AT_ONCE = 4
#: What a repeated completion, or a repeated replacement, may meet.
_GONE = frozenset({"NoSuchUpload", "NoSuchKey"})
#: Metadata by which a replacement is known again: equal bytes may be another writer's.
_WRITER = "fsspec-store-writer"


class Upload:
    """One write of one value, under a condition or none.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    read : callable
        ``await read(transports)`` returns what is stored at the key, ``None`` if nothing.
    bucket, key : str
        Where to.
    data : memoryview
        The value.
    condition : mapping
        ``{}``, ``{"IfNoneMatch": "*"}`` or ``{"IfMatch": etag}``.
    cleanup : Cleanup
        Takes the abort of an upload in parts.
    """

    def __init__(
        self,
        calls: Calls,
        read: Callable[[Transports], Awaitable[bytes | memoryview | None]],
        bucket: str,
        key: str,
        data: memoryview,
        condition: Mapping[str, str],
        cleanup: Cleanup,
    ) -> None:
        self._calls = calls
        self._cleanup = cleanup
        self._read = read
        self._target = {"Bucket": bucket, "Key": key}
        self._data = data
        self._condition = condition
        #: Of a replacement alone: of a creation, all writers of equal bytes are served.
        self._writer = secrets.token_hex(8) if "IfMatch" in condition else None
        self._metadata = {} if self._writer is None else {"Metadata": {_WRITER: self._writer}}

    async def run(self, *, part_bytes: int | None = None) -> bool:
        """Write, and say whether this did: ``False`` when the condition was not met.

        Parameters
        ----------
        part_bytes : int, optional
            Size of the parts of a multipart upload; the value is uploaded in one request when left
            out.
        """
        if part_bytes is None:
            return await self._finish("put_object", Body=self._data, **self._metadata)
        return await self._run_parts(part_bytes)

    async def _finish(self, method: str, **params: Any) -> bool:
        """Send the request that makes the object appear."""
        answer_lost = False

        async def attempt(transports: Transports) -> bool:
            nonlocal answer_lost
            try:
                await transports.call(
                    method, {**self._target, **params, **self._condition}, self._calls.stats
                )
            except Exception as error:
                code = error_code(error)
                may_be_done = answer_lost and code in PRECONDITION_FAILED | _GONE
                if may_be_done and await self._is_stored(transports):
                    # By an earlier attempt of this very write.
                    return True
                if self._condition and code in PRECONDITION_FAILED:
                    return False
                if code == "NoSuchKey" and "IfMatch" in self._condition:
                    return False
                answer_lost = answer_lost or code not in CONFLICT
                raise
            return True

        done: bool = await self._calls.send(attempt)
        return done

    async def _is_stored(self, transports: Transports) -> bool:
        """Whether this write is what is there, within another request's attempt."""
        if self._writer is None:
            return await self._read(transports) == self._data
        try:
            found = await transports.call("head_object", self._target, self._calls.stats)
        except FileNotFoundError:
            return False
        headers = found["ResponseMetadata"]["HTTPHeaders"]
        return bool(headers.get(f"x-amz-meta-{_WRITER}") == self._writer)

    async def _run_parts(self, part_bytes: int) -> bool:
        upload = await self._calls.call("create_multipart_upload", **self._target, **self._metadata)
        target = {**self._target, "UploadId": upload["UploadId"]}
        size = self._data.nbytes
        # Where the upload was begun with an algorithm, its end has to repeat the checksums of its
        # parts (S3 API Reference, "CompleteMultipartUpload").
        checksum = f"Checksum{upload.get('ChecksumAlgorithm')}"
        done_parts: dict[int, dict[str, Any]] = {}

        async def put_part(start: int) -> None:
            number = start // part_bytes + 1
            body = self._data[start : start + part_bytes]
            part = await self._calls.call("upload_part", **target, PartNumber=number, Body=body)
            done_parts[number] = {
                "PartNumber": number,
                **{name: part[name] for name in ("ETag", checksum) if name in part},
            }

        async def abort() -> None:
            await calls.call("abort_multipart_upload", **target)

        calls = self._calls
        try:
            await for_each(put_part, range(0, size, part_bytes), limit=_PARTS_AT_ONCE)
            parts = [done_parts[number] for number in sorted(done_parts)]
            done = await self._finish(
                "complete_multipart_upload",
                UploadId=upload["UploadId"],
                MultipartUpload={"Parts": parts},
            )
        except BaseException as error:
            # Parts without an end stay in the bucket, unseen and paid for.
            await self._cleanup.run(abort, error)
            raise
        if not done:
            await self._cleanup.run(abort)
        return done
