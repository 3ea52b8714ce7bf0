"""Uploads that continue with the blocks that an interrupted upload of the blob has stored.

The name of a block contains the MD5 of its bytes. So the list of uncommitted blocks shows which
bytes are stored.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from ..._core.failures import UploadLostError
from ..object_store.writing import Condition
from .responses import AzureError
from .uploads import AzureUpload, checksum_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .client import Client
    from .reading import Reader

__all__ = ["ContinuedUpload"]

#: Shorter names, which another program has chosen, contain a part of the MD5, which proves nothing.
_WHOLE_DIGEST_BYTES = 16 + 2


class ContinuedUpload(AzureUpload):
    """One write of one blob, given by its path."""

    def __init__(self, client: Client, reader: Reader, path: str) -> None:
        super().__init__(client, reader, path, None, Condition.NONE)
        #: Sizes of uncommitted blocks by name.
        self._stored: Mapping[str, int] = {}
        self._digests: dict[int, bytes] = {}

    async def start(self) -> bool:
        try:
            stored = await self._uncommitted()
        except AzureError:
            # There is no such blob, or the list is not permitted.
            return True
        self._use_length_of(stored)
        if self._name_bytes >= _WHOLE_DIGEST_BYTES:
            self._stored = stored
        return True

    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        checksum = await checksum_headers(part)
        self._digests[index] = base64.b64decode(checksum["Content-MD5"])
        if self._stored.get(self._block_name(index)) == part.nbytes:
            self._blocks = max(self._blocks, index + 1)
        else:
            await self._put_block(index, part, checksum)

    async def complete(self) -> bool:
        try:
            return await super().complete()
        except AzureError as error:
            if error.code != "InvalidBlockList":
                raise
            # Another writer has committed a value, which discarded the blocks.
            raise UploadLostError from error

    def _block_name(self, index: int) -> str:
        return self._name(self._digests[index], index)
