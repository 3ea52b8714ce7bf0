"""How a value gets to Azure: in one request, or in blocks that become a blob at the end.

The service is told what each body adds up to, and refuses one that arrived damaged. Knows the
requests and their conditions, and not how one is sent.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import Payload

from ...concurrency import for_each
from ...threads import in_thread
from .answers import AzureError, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from ..http_answers import Answer

__all__ = ["Body", "put_blob"]

#: From here on a value is uploaded in blocks, several at a time.
_BLOCKS_THRESHOLD = 64 * 2**20
_BLOCK_BYTES = 16 * 2**20
_BLOCKS_AT_ONCE = 4
#: Most blocks of a blob ("Put Block List").
_MAX_BLOCKS = 50_000
#: Most bytes of one request ("Put Blob").
_MAX_AT_ONCE = 5000 * 2**20
#: So much is handed to the connection at a time: it waits in between for the service to keep up.
_WRITE_BYTES = 2**20
#: Adding up more than this takes longer than asking a thread to.
_SUM_HERE_BYTES = 2**18

#: Metadata by which a replacement is known again: equal bytes may be another writer's.
_WRITER = "x-ms-meta-fsspec_store_writer"
_UNMET = frozenset({"BlobAlreadyExists", "ConditionNotMet"})


class Body(Payload):
    """Bytes to be sent, as often as it takes, without a copy.

    Parameters
    ----------
    data : bytes or memoryview
        One-dimensional, of single bytes.
    """

    # aiohttp's name for: there is nothing to close.
    _autoclose = True

    def __init__(self, data: bytes | memoryview) -> None:
        super().__init__(data, content_type="application/octet-stream")
        self._size = len(data)
        self.data = data
        #: How often it was sent: of more than once, an earlier answer may have been lost.
        self.sent = 0

    def in_one_piece(self) -> memoryview:
        """All of it, to be sent now."""
        self.sent += 1
        return memoryview(self.data)

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.sent += 1
        for start in range(0, len(self.data), _WRITE_BYTES):
            await writer.write(self.data[start : start + _WRITE_BYTES])

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self.data, encoding, errors)


async def put_blob(
    put: Callable[..., Awaitable[Answer]],
    read: Callable[[], Awaitable[bytes | memoryview | None]],
    headers_of: Callable[[], Awaitable[Mapping[str, str]]],
    data: memoryview,
    condition: Mapping[str, str],
) -> bool:
    """Write a blob, and say whether this did: ``False`` when the condition was not met.

    Parameters
    ----------
    put : callable
        ``await put(query, headers, body)`` sends a PUT to the blob, again where it failed in
        passing, and returns the answer where its status is 201, 404, 409 or 412.
    read : callable
        ``await read()`` returns what is stored there, ``None`` if nothing.
    headers_of : callable
        ``await headers_of()`` returns the headers by which the service describes that.
    data : memoryview
        The value.
    condition : mapping
        ``{}``, ``{"If-None-Match": "*"}`` or ``{"If-Match": etag}``.

    Raises
    ------
    AzureError
        When the service refused the blob for another reason.
    """
    answer = None
    sent = 0
    writer = secrets.token_hex(8) if "If-Match" in condition else None
    if writer is not None:
        condition = {**condition, _WRITER: writer}
    if data.nbytes >= _BLOCKS_THRESHOLD:
        body = await _put_blocks(put, data)
        headers = {"Content-Type": "application/xml", **await _sums(body.data), **condition}
        try:
            answer = await put("comp=blocklist", headers, body)
        except AzureError as error:
            # Another writer's commit dropped these blocks. Nothing gets between one request.
            if error.code != "InvalidBlockList" or data.nbytes > _MAX_AT_ONCE:
                raise
        sent = body.sent
    if answer is None:
        body = Body(data)
        headers = {
            "Content-Type": "application/octet-stream",
            "x-ms-blob-type": "BlockBlob",
            **await _sums(data),
            **condition,
        }
        answer = await put("", headers, body)
        sent += body.sent
    if answer.status == 201:
        return True
    code = error_code(answer)
    missing = code == "BlobNotFound" and "If-Match" in condition
    # A proxy may drop the code (RFC 9110, section 15.5.13: a condition in the request is not met).
    plainly = bool(condition) and code is None and answer.status == 412 and not answer.body
    if code not in _UNMET and not plainly and not missing:
        raise AzureError(answer)
    if sent <= 1:
        return False
    # The first may have written, and its answer been lost.
    if writer is not None:
        return (await headers_of()).get(_WRITER) == writer
    return await read() == data


async def _put_blocks(put: Callable[..., Awaitable[Answer]], data: memoryview) -> Body:
    """Upload the blocks, and return the list that makes a blob of them."""
    block_bytes = max(_BLOCK_BYTES, -(-data.nbytes // _MAX_BLOCKS))
    starts = range(0, data.nbytes, block_bytes)
    # All names of a blob's blocks are equally long, and no other writer's.
    upload = secrets.token_hex(8)
    names = [
        base64.b64encode(f"{upload}-{number:05}".encode()).decode() for number in range(len(starts))
    ]

    async def put_block(number: int) -> None:
        block = data[starts[number] : starts[number] + block_bytes]
        query = f"comp=block&blockid={quote(names[number], safe='')}"
        headers = {"Content-Type": "application/octet-stream", **await _sums(block)}
        answer = await put(query, headers, Body(block))
        if answer.status != 201:
            raise AzureError(answer)

    await for_each(put_block, range(len(starts)), limit=_BLOCKS_AT_ONCE)
    # The latest of each name: a commit that is repeated finds its blocks committed already.
    listed = "".join(f"<Latest>{name}</Latest>" for name in names)
    return Body(f"<?xml version='1.0' encoding='utf-8'?><BlockList>{listed}</BlockList>".encode())


async def _sums(data: Any) -> dict[str, str]:
    """The headers by which the service checks a body."""
    if len(data) > _SUM_HERE_BYTES:
        digest = await in_thread(_md5, data)
    else:
        digest = _md5(data)
    return {"Content-Length": str(len(data)), "Content-MD5": base64.b64encode(digest).decode()}


def _md5(data: Any) -> bytes:
    # Against damage on the way, not against forgery.
    return hashlib.md5(data, usedforsecurity=False).digest()
