"""How many blobs are deleted: a batch a request, or one by one where the account takes none.

Knows what a batch looks like, and not how a request is sent.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

from ...concurrency import for_each
from ...retries import status_verdict
from ..parsing import parsed
from .answers import AzureError, batch_statuses, error_code
from .uploads import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .requests import Requests

__all__ = ["Deletes"]

#: Most parts of a batch ("Blob Batch").
_MOST = 256
_AT_ONCE = 4
#: A directory that holds something is no object.
_NOTHING_TO_REMOVE = frozenset({"BlobNotFound", "DirectoryIsNotEmpty"})


class Deletes:
    """Deletes blobs.

    Parameters
    ----------
    requests : Requests
        Sends requests.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._in_batches = True

    async def one(self, path: str) -> None:
        """Delete a blob, if it is there."""
        answer = await self._requests.send("DELETE", path, expect={202, 404, 409})
        if answer.status != 202 and error_code(answer) not in _NOTHING_TO_REMOVE:
            raise AzureError(answer)

    async def many(self, paths: Sequence[str], *, limit: int) -> None:
        """Delete blobs, so many requests at once at most."""
        by_container: dict[str, list[str]] = {}
        for path in paths:
            by_container.setdefault(path.partition("/")[0], []).append(path)
        chunks = [
            (container, members[start : start + _MOST])
            for container, members in by_container.items()
            for start in range(0, len(members), _MOST)
        ]

        async def remove_chunk(chunk: tuple[str, Sequence[str]]) -> None:
            left = await self._batch(*chunk)
            await for_each(self.one, left, limit=max(1, limit // at_once))

        at_once = min(limit, _AT_ONCE)
        await for_each(remove_chunk, chunks, limit=at_once)

    async def _batch(self, container: str, paths: Sequence[str]) -> Sequence[str]:
        """Remove blobs of one container in one request; those it failed for are returned."""
        if len(paths) == 1 or not self._in_batches:
            return paths
        boundary = f"batch_{secrets.token_hex(16)}"
        lines = []
        for number, path in enumerate(paths):
            url_path, url = self._requests.address(path, "")
            headers = await self._requests.account.part_headers("DELETE", url_path)
            lines += [
                f"--{boundary}",
                "Content-Type: application/http",
                "Content-Transfer-Encoding: binary",
                f"Content-ID: {number}",
                "",
                f"DELETE {url.removeprefix(self._requests.account.service)} HTTP/1.1",
                *(f"{name}: {value}" for name, value in headers.items()),
                "",
                "",
            ]
        lines += [f"--{boundary}--", ""]
        body = Body("\r\n".join(lines).encode())
        try:
            answer = await self._requests.send(
                "POST",
                container,
                "restype=container&comp=batch",
                expect={202},
                headers={
                    "Content-Type": f"multipart/mixed; boundary={boundary}",
                    "Content-Length": str(body.size),
                },
                data=body,
            )
        except AzureError as error:
            if status_verdict(error.answer.status, error.answer.headers) is not None:
                raise
            # Not every account and not every signature takes batches.
            self._in_batches = False
            return paths
        content_type = answer.headers.get("Content-Type", "")
        parts = await parsed(partial(batch_statuses, content_type), answer.body)
        return [
            path
            for number, path in enumerate(paths)
            if (part := parts.get(number)) is None
            or (part.status != 202 and error_code(part) not in _NOTHING_TO_REMOVE)
        ]
