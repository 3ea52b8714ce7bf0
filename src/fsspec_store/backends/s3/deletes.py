"""How many objects are deleted: a thousand a request, or one by one where that cannot be.

Knows S3's calls, and not how one is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...concurrency import for_each
from .answers import error_code
from .documents import MAX_ERROR_BYTES
from .features import BULK_DELETE, may_be_refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .calls import Calls

__all__ = ["DeleteRefusedError", "Deletes"]

#: Most keys one DeleteObjects request takes (S3 API Reference, "DeleteObjects").
_MOST = 1000
_AT_ONCE = 4
#: What XML 1.0 cannot carry, or would normalise away, in the body of a bulk delete.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class Deletes:
    """Deletes objects.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def one(self, target: tuple[str, str]) -> None:
        """Delete the object of a bucket and a key, if it is there."""
        bucket, key = target
        try:
            await self._calls.call("delete_object", Bucket=bucket, Key=key)
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise

    async def many(self, targets: Iterable[tuple[str, str]], *, limit: int) -> None:
        """Delete objects, so many requests at once at most."""
        bulk: dict[str, list[str]] = {}
        single = []
        in_bulk = BULK_DELETE not in (await self._calls.service()).refused
        for bucket, key in targets:
            if not in_bulk or _NOT_IN_XML.search(key):
                single.append((bucket, key))
            else:
                bulk.setdefault(bucket, []).append(key)
        chunks = [
            (bucket, keys[start : start + _MOST])
            for bucket, keys in bulk.items()
            for start in range(0, len(keys), _MOST)
        ]
        await for_each(self._chunk, chunks, limit=min(limit, _AT_ONCE))
        await for_each(self.one, single, limit=limit)

    async def _chunk(self, chunk: tuple[str, Sequence[str]]) -> None:
        bucket, keys = chunk
        objects = [{"Key": key} for key in keys]

        async def attempt() -> None:
            response = await self._calls.once(
                "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
            )
            # The answer is 200 even when single keys were refused.
            for failed in response.get("Errors", ()):
                if failed.get("Code") != "NoSuchKey":
                    raise DeleteRefusedError(failed)

        try:
            await self._calls.send(attempt)
        except OSError as error:
            if isinstance(error, DeleteRefusedError) or not may_be_refused(error):
                raise
            await for_each(self.one, [(bucket, key) for key in keys], limit=_AT_ONCE)
            (await self._calls.service()).refuses(BULK_DELETE, error_code(error))


class DeleteRefusedError(OSError):
    """A bulk delete removed other keys, and not this one.

    Parameters
    ----------
    failed : mapping
        The ``Error`` element that the answer has for the key.
    """

    def __init__(self, failed: Mapping[str, Any]) -> None:
        failed = {name: text for name, text in failed.items() if len(str(text)) <= MAX_ERROR_BYTES}
        super().__init__(f"{failed.get('Key')!r}: {failed.get('Code')}: {failed.get('Message')}")
        # As botocore's errors have it: read like the error of a request of its own.
        self.response = {"Error": failed}
