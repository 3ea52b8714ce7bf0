"""Uploads a value in one request, or in blocks that are committed as a blob.

Each body has a checksum, which the service verifies. Does not know how a request is sent.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import Payload

from ..._runtime.concurrency import for_each
from ..._runtime.threads import in_thread
from .responses import AzureError, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from ..._http.responses import WholeResponse

__all__ = ["MAX_PUT_BYTES", "Body", "put_blob"]

_CONCURRENT_BLOCKS = 4
#: Maximum size of a blob that is uploaded in one request ("Put Blob").
MAX_PUT_BYTES = 5000 * 2**20
#: Size of one write to the connection, which applies backpressure between writes.
_WRITE_BYTES = 2**20
#: Checksums of longer bodies are computed in a thread.
_HASH_IN_THREAD_BYTES = 2**18

#: Metadata that identifies the writer of a replacement: another may write equal bytes.
_WRITER_HEADER = "x-ms-meta-fsspec_store_writer"
_CONDITION_NOT_MET = frozenset({"BlobAlreadyExists", "ConditionNotMet"})


class Body(Payload):
    """A request body that each attempt can send without a copy.

    Parameters
    ----------
    data : bytes or memoryview
        One-dimensional, of single bytes.
    """

    # For aiohttp: the body needs no close.
    _autoclose = True
    is_contiguous = True

    def __init__(self, data: bytes | memoryview) -> None:
        super().__init__(data, content_type="application/octet-stream")
        self._size = len(data)
        self.data = data
        #: Number of attempts: after more than one, an earlier response may be lost.
        self.times_sent = 0

    def in_one_piece(self) -> memoryview:
        """The whole body; counts as an attempt."""
        self.times_sent += 1
        return memoryview(self.data)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.times_sent += 1
        for start in range(0, len(self.data), _WRITE_BYTES):
            await writer.write(self.data[start : start + _WRITE_BYTES])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self.data, encoding, errors)


async def put_blob(
    put: Callable[..., Awaitable[WholeResponse]],
    read_back: Callable[[], Awaitable[bytes | memoryview | None]],
    get_headers: Callable[[], Awaitable[Mapping[str, str]]],
    data: memoryview,
    condition: Mapping[str, str],
    block_bytes: int | None = None,
) -> bool:
    """Write a blob; ``False`` when the condition is not met.

    Parameters
    ----------
    put : callable
        ``await put(query, headers, body)`` sends a PUT to the blob, with retries, and returns a
        response with a status of 201, 404, 409 or 412.
    read_back : callable
        ``await read_back()`` returns the stored blob, ``None`` if it is missing.
    get_headers : callable
        ``await get_headers()`` returns the headers of the stored blob.
    data : memoryview
        The value.
    condition : mapping
        ``{}``, ``{"If-None-Match": "*"}`` or ``{"If-Match": etag}``.
    block_bytes : int, optional
        Size of the blocks of the upload; by default the value is uploaded in one request.

    Raises
    ------
    AzureError
        For an error response with another reason.
    """
    response = None
    times_sent = 0
    writer = secrets.token_hex(8) if "If-Match" in condition else None
    if writer is not None:
        condition = {**condition, _WRITER_HEADER: writer}
    if block_bytes is not None:
        body = await _put_blocks(put, data, block_bytes)
        headers = {"Content-Type": "application/xml", **await _checksums(body.data), **condition}
        try:
            response = await put("comp=blocklist", headers, body)
        except AzureError as error:
            # The commit of another writer discarded these blocks: upload in a single request.
            if error.code != "InvalidBlockList" or data.nbytes > MAX_PUT_BYTES:
                raise
        times_sent = body.times_sent
    if response is None:
        body = Body(data)
        headers = {
            "Content-Type": "application/octet-stream",
            "x-ms-blob-type": "BlockBlob",
            **await _checksums(data),
            **condition,
        }
        response = await put("", headers, body)
        times_sent += body.times_sent
    if response.status == 201:
        return True
    code = error_code(response)
    missing = code == "BlobNotFound" and "If-Match" in condition
    # A proxy may drop the error code of a 412 (RFC 9110, section 15.5.13: condition not met).
    is_bare_412 = bool(condition) and code is None and response.status == 412 and not response.body
    if code not in _CONDITION_NOT_MET and not is_bare_412 and not missing:
        raise AzureError(response)
    if times_sent <= 1:
        return False
    # An earlier attempt may have written, with its response lost.
    if writer is not None:
        return (await get_headers()).get(_WRITER_HEADER) == writer
    return await read_back() == data


async def _put_blocks(
    put: Callable[..., Awaitable[WholeResponse]], data: memoryview, block_bytes: int
) -> Body:
    """Upload the blocks, and return the body of the commit (the block list)."""
    starts = range(0, data.nbytes, block_bytes)
    # Block names must be equally long, and differ from those of other writers.
    upload = secrets.token_hex(8)
    names = [
        base64.b64encode(f"{upload}-{number:05}".encode()).decode() for number in range(len(starts))
    ]

    async def put_block(number: int) -> None:
        block = data[starts[number] : starts[number] + block_bytes]
        query = f"comp=block&blockid={quote(names[number], safe='')}"
        headers = {"Content-Type": "application/octet-stream", **await _checksums(block)}
        response = await put(query, headers, Body(block))
        if response.status != 201:
            raise AzureError(response)

    await for_each(put_block, range(len(starts)), limit=_CONCURRENT_BLOCKS)
    # Latest, not Uncommitted: the first attempt of a retried commit may have succeeded.
    listed = "".join(f"<Latest>{name}</Latest>" for name in names)
    return Body(f"<?xml version='1.0' encoding='utf-8'?><BlockList>{listed}</BlockList>".encode())


async def _checksums(data: Any) -> dict[str, str]:
    """The headers by which the service verifies a body."""
    if len(data) > _HASH_IN_THREAD_BYTES:
        digest = await in_thread(_md5, data)
    else:
        digest = _md5(data)
    return {"Content-Length": str(len(data)), "Content-MD5": base64.b64encode(digest).decode()}


def _md5(data: Any) -> bytes:
    # MD5 detects transfer errors; it is not used for security.
    return hashlib.md5(data, usedforsecurity=False).digest()
