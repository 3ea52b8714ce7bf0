"""Writes objects: in one request, or in parts that become an object at the end.

After a lost response the object is read back: the write may have succeeded, and then its repetition
fails.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._runtime.concurrency import for_each
from .requests import (
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CreateMultipartUpload,
    HeadObject,
    PutObject,
    UploadPart,
)
from .responses import CONFLICT, PRECONDITION_FAILED, error_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..cleanup import Cleanup
    from .client import Client
    from .reading import Reader
    from .requests import Part

__all__ = ["Upload"]

_CONCURRENCY = 4
#: Error codes of a repeated completion, or of a replacement, after the first one succeeded.
_GONE = frozenset({"NoSuchUpload", "NoSuchKey"})
#: Metadata that identifies a replacement: equal bytes may be of another writer.
_WRITER = "fsspec-store-writer"


@dataclass
class Upload:
    """One write of one value.

    Parameters
    ----------
    client : Client
        Sends requests.
    reader : Reader
        Reads the object back.
    cleanup : Cleanup
        Aborts a multipart upload that does not finish.
    bucket, key : str
        Of the object.
    data : memoryview
        The value.
    if_none_match, if_match : str, optional
        The condition: ``*`` for a new object, or the ETag of the one to replace.
    """

    client: Client
    reader: Reader
    cleanup: Cleanup
    bucket: str
    key: str
    data: memoryview
    if_none_match: str | None = None
    if_match: str | None = None

    async def run(self, *, part_bytes: int | None = None) -> bool:
        """Write the value; return ``False`` when the condition is not met.

        Parameters
        ----------
        part_bytes : int, optional
            Size of the parts of a multipart upload; one request by default.
        """
        # Not for a creation: all writers of equal bytes succeed.
        metadata = None if self.if_match is None else {_WRITER: secrets.token_hex(8)}
        if part_bytes is not None:
            return await self._run_parts(part_bytes, metadata)
        put = PutObject(
            self.bucket, self.key, self.data, self.if_none_match, self.if_match, metadata
        )
        return await self._write(put, metadata)

    async def _write(
        self, request: PutObject | CompleteMultipartUpload, metadata: Mapping[str, str] | None
    ) -> bool:
        """Send the request that writes the object."""
        response_lost = False

        async def attempt() -> bool:
            nonlocal response_lost
            try:
                await self.client.send_once(request)
            except Exception as error:
                code = error_code(error)
                may_be_written = response_lost and code in PRECONDITION_FAILED | _GONE
                if may_be_written and await self._is_written(metadata):
                    # By an earlier attempt.
                    return True
                is_conditional = self.if_none_match is not None or self.if_match is not None
                if is_conditional and code in PRECONDITION_FAILED:
                    return False
                if code == "NoSuchKey" and self.if_match is not None:
                    return False
                response_lost = response_lost or code not in CONFLICT
                raise
            return True

        return await self.client.retry(attempt)

    async def _is_written(self, metadata: Mapping[str, str] | None) -> bool:
        """Whether the object is the one that this upload writes. Sends one request once."""
        if metadata is None:
            found = await self.reader.read_whole(self.bucket, self.key)
            return found is not None and found[0] == self.data
        try:
            head = await self.client.send_once(HeadObject(self.bucket, self.key))
        except FileNotFoundError:
            return False
        return head.headers.get(f"x-amz-meta-{_WRITER}") == metadata[_WRITER]

    async def _run_parts(self, part_bytes: int, metadata: Mapping[str, str] | None) -> bool:
        client, bucket, key = self.client, self.bucket, self.key
        upload = await client.send(CreateMultipartUpload(bucket, key, metadata))
        parts: dict[int, Part] = {}

        async def put_part(start: int) -> None:
            number = start // part_bytes + 1
            body = self.data[start : start + part_bytes]
            parts[number] = await client.send(UploadPart(bucket, key, upload, number, body))

        async def abort() -> None:
            await client.send(AbortMultipartUpload(bucket, key, upload))

        try:
            starts = range(0, self.data.nbytes, part_bytes)
            await for_each(put_part, starts, limit=_CONCURRENCY)
            in_order = [parts[number] for number in sorted(parts)]
            complete = CompleteMultipartUpload(
                bucket, key, upload, in_order, self.if_none_match, self.if_match
            )
            is_written = await self._write(complete, metadata)
        except BaseException as error:
            # Parts of an unfinished upload are not listed as keys, and cost money.
            await self.cleanup.run(abort, error)
            raise
        if not is_written:
            await self.cleanup.run(abort)
        return is_written
