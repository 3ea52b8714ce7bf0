"""Deletes objects: in bulk with DeleteObjects, or one by one where that is not supported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..._runtime.concurrency import for_each
from .features import BULK_DELETE, may_be_unsupported
from .requests import DeleteObject, DeleteObjects
from .responses import error_code
from .xml import MAX_ERROR_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .client import Client

__all__ = ["Deleter", "KeyNotDeletedError"]

#: Maximum number of keys of one request (S3 API Reference, "DeleteObjects").
_MAX_KEYS = 1000
_CONCURRENCY = 4
#: Characters that XML 1.0 cannot represent, or that parsers normalise.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class Deleter:
    """Deletes objects.

    Parameters
    ----------
    client : Client
        Sends requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def one(self, target: tuple[str, str]) -> None:
        """Delete the object at ``(bucket, key)``, if it exists."""
        bucket, key = target
        try:
            await self._client.send(DeleteObject(bucket, key))
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise

    async def many(self, targets: Iterable[tuple[str, str]], *, limit: int) -> None:
        """Delete objects by ``(bucket, key)``, with at most `limit` concurrent requests."""
        bulk: dict[str, list[str]] = {}
        single = []
        in_bulk = BULK_DELETE not in (await self._client.service()).unsupported
        for bucket, key in targets:
            if not in_bulk or _NOT_IN_XML.search(key):
                single.append((bucket, key))
            else:
                bulk.setdefault(bucket, []).append(key)
        chunks = [
            (bucket, keys[start : start + _MAX_KEYS])
            for bucket, keys in bulk.items()
            for start in range(0, len(keys), _MAX_KEYS)
        ]
        await for_each(self._chunk, chunks, limit=min(limit, _CONCURRENCY))
        await for_each(self.one, single, limit=limit)

    async def _chunk(self, chunk: tuple[str, Sequence[str]]) -> None:
        bucket, keys = chunk

        async def attempt() -> None:
            # The status is 200 even if some keys were not deleted.
            for failed in await self._client.send_once(DeleteObjects(bucket, keys)):
                if failed.get("Code") != "NoSuchKey":
                    raise KeyNotDeletedError(failed)

        try:
            await self._client.retry(attempt)
        except OSError as error:
            if isinstance(error, KeyNotDeletedError) or not may_be_unsupported(error):
                raise
            await for_each(self.one, [(bucket, key) for key in keys], limit=_CONCURRENCY)
            (await self._client.service()).mark_unsupported(BULK_DELETE, error_code(error))


class KeyNotDeletedError(OSError):
    """A bulk delete did not delete one of its keys.

    Parameters
    ----------
    failed : mapping
        The ``Error`` element of the key in the response.
    """

    def __init__(self, failed: Mapping[str, Any]) -> None:
        failed = {name: text for name, text in failed.items() if len(str(text)) <= MAX_ERROR_BYTES}
        super().__init__(f"{failed.get('Key')!r}: {failed.get('Code')}: {failed.get('Message')}")
        # In the form of botocore's errors, so that it is classified like a request's error.
        self.response = {"Error": failed}
