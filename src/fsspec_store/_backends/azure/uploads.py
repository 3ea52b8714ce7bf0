"""Uploads a value in one request, or in blocks that are committed as a blob.

Each body has a checksum, which the service verifies.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..._http.messages import Response
from ..._http.payloads import Body
from ..._http.responses import StatusError
from ..._runtime.threads import in_thread
from ..checksums import Hash, in_base64, md5, md5_in_base64
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
from .responses import AzureError, error_code, uncommitted_blocks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

__all__ = ["MAX_PUT_BYTES", "AzureUpload", "checksum_headers"]

#: Maximum size of a blob that is uploaded in one request ("Put Blob").
MAX_PUT_BYTES = 5000 * 2**20

#: Names of metadata are C# identifiers ("Naming and Referencing Containers, Blobs, and Metadata").
_WRITER_HEADER = f"x-ms-meta-{WRITER.replace('-', '_')}"
#: Checksums of longer bodies are computed in a thread.
_HASH_IN_THREAD_BYTES = 2**18
#: Length of the names of blocks. It ends with their index.
_NAME_BYTES = 22
_INDEX_BYTES = 2
#: Shorter names would not differ from those of other writers.
_MIN_NAME_BYTES = 6
_CONDITION_NOT_MET = frozenset({"BlobAlreadyExists", "ConditionNotMet"})


class AzureUpload(Upload[Client, Reader, str]):
    """One write of one blob, given by its path."""

    _blocks = 0
    _name_bytes = _NAME_BYTES

    @cached_property
    def _md5(self) -> Hash:
        """The MD5 of a value that is uploaded in blocks."""
        return md5()

    @cached_property
    def _upload(self) -> bytes:
        return secrets.token_bytes(16)

    async def run(self, *, block_bytes: int | None) -> bool:
        """Write the value, in one request or in blocks; ``False`` when the condition is not met."""
        if block_bytes is not None:
            await asyncio.gather(upload_parts(self, self._data, block_bytes), self.hash(self._data))
            try:
                return await self.complete()
            except AzureError as error:
                # The commit of another writer discarded these blocks: upload in one request.
                if error.code != "InvalidBlockList" or self._data.nbytes > MAX_PUT_BYTES:
                    raise
        headers = {"Content-Type": "application/octet-stream", "x-ms-blob-type": "BlockBlob"}
        return await self._put("", headers, Body(self._data))

    async def _put(self, query: str, headers: Mapping[str, str], body: Body) -> bool:
        """Send the request that writes the blob."""
        all_headers = {**headers, **await checksum_headers(body.in_one_piece()), **self._conditions}

        def attempt(url: str, headers: Mapping[str, str]) -> Awaitable[Response[bytes]]:
            return self._attempt(
                self._client.http.once("PUT", url, headers, expect={201}, data=body)
            )

        sending = self._client.sign_and_retry(
            "PUT", self._target, query, all_headers, attempt, budget=self.budget
        )
        result = await self._result(sending)
        if isinstance(result, Response):
            self.written_version = result.headers.get("ETag")
        return bool(result)

    @property
    def _conditions(self) -> dict[str, str]:
        if self._condition is Condition.CREATE:
            return {"If-None-Match": "*"}
        headers = {} if self.writer is None else {_WRITER_HEADER: self.writer}
        return headers if self._version is None else {"If-Match": self._version, **headers}

    async def start(self) -> bool:
        return True

    async def hash(self, part: memoryview) -> None:
        await in_thread(self._md5.update, part)

    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        await self._put_block(index, part, await checksum_headers(part))

    async def _put_block(self, index: int, part: memoryview, checksum: Mapping[str, str]) -> None:
        used = self._name_bytes
        try:
            await self._send_block(index, part, checksum)
        except AzureError as error:
            if error.code != "InvalidBlobOrBlock":
                raise
            self._use_length_of(await self._uncommitted())
            # Another part may have changed it meanwhile.
            if self._name_bytes == used:
                raise
            await self._send_block(index, part, checksum)
        self._blocks = max(self._blocks, index + 1)

    async def _uncommitted(self) -> dict[str, int]:
        """Sizes of the uncommitted blocks by name, of all writers of the blob."""
        query = "comp=blocklist&blocklisttype=uncommitted"
        response = await self._client.request(
            "GET", self._target, query, expect={200}, budget=self.budget
        )
        return uncommitted_blocks(response.body)

    def _use_length_of(self, names: Iterable[str]) -> None:
        """Make names as long as those of another program: all blocks of a blob need one length."""
        length = max((len(base64.b64decode(name)) for name in names), default=0)
        if length >= _MIN_NAME_BYTES:
            self._name_bytes = length

    async def _send_block(self, index: int, part: memoryview, checksum: Mapping[str, str]) -> None:
        query = f"comp=block&blockid={quote(self._block_name(index), safe='')}"
        headers = {"Content-Type": "application/octet-stream", **checksum}
        await self._client.request(
            "PUT",
            self._target,
            query,
            expect={201},
            headers=headers,
            data=Body(part),
            budget=self._part_budget(),
        )

    async def complete(self) -> bool:
        """Commit the blocks as the value."""
        # Latest, not Uncommitted: the first attempt of a retried commit may have succeeded.
        listed = "".join(
            f"<Latest>{self._block_name(index)}</Latest>" for index in range(self._blocks)
        )
        body = f"<?xml version='1.0' encoding='utf-8'?><BlockList>{listed}</BlockList>"
        digest = in_base64(self._md5.digest())
        # Listed as that of the value, which the service does not compute ("Put Block List").
        headers = {"Content-Type": "application/xml", "x-ms-blob-content-md5": digest}
        return await self._put("comp=blocklist", headers, Body(body.encode()))

    async def abort(self) -> None:
        """Do nothing: the service has no request for it, and discards the blocks after a week."""

    def _block_name(self, index: int) -> str:
        # Names differ from those of other writers.
        return self._name(self._upload, index)

    def _name(self, prefix: bytes, index: int) -> str:
        length = self._name_bytes - _INDEX_BYTES
        name = prefix[:length].ljust(length, b"-") + index.to_bytes(_INDEX_BYTES)
        return base64.b64encode(name).decode()

    def _failure(self, error: Exception) -> WriteFailure:
        if not isinstance(error, StatusError):
            return WriteFailure.UNKNOWN
        response = error.response
        code = error_code(response)
        # A proxy may drop the error code of a 412 (RFC 9110, section 15.5.13: condition not met).
        is_bare_412 = code is None and response.status == 412 and not response.body
        is_missing = code == "BlobNotFound" and self._condition is Condition.REPLACE
        if code in _CONDITION_NOT_MET or is_bare_412 or is_missing:
            return WriteFailure.CONDITION_NOT_MET
        # Other reasons of a 412 are leases.
        failure = failure_of_status(response.status)
        return failure if failure is WriteFailure.UNKNOWN else WriteFailure.NOT_WRITTEN

    async def _read_back(self) -> bytes | memoryview | None:
        return await self._reader.read(self._target, None)

    async def _read_writer(self) -> str | None:
        response = await self._client.request("HEAD", self._target, expect={200, 404})
        return response.headers.get(_WRITER_HEADER)


async def checksum_headers(data: memoryview) -> dict[str, str]:
    """The headers by which the service verifies a body."""
    if len(data) > _HASH_IN_THREAD_BYTES:
        digest = await in_thread(md5_in_base64, data)
    else:
        digest = md5_in_base64(data)
    return {"Content-Length": str(len(data)), "Content-MD5": digest}
