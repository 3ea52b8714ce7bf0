"""Deletes blobs in batches, or one by one where the account does not support batches.

Does not know how a request is sent.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

from ..._http.parsing import parsed
from ..._http.retry_policy import retry_decision_of_status
from ..._runtime.concurrency import for_each
from .responses import AzureError, batch_responses, error_code
from .uploads import Body

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .client import Client

__all__ = ["BulkDelete"]

#: Maximum number of requests in a batch ("Blob Batch").
_BATCH_SIZE = 256
_CONCURRENT_BATCHES = 4
#: There is no blob, or the path is a directory that is not empty.
_NOTHING_TO_DELETE = frozenset({"BlobNotFound", "DirectoryIsNotEmpty"})


class BulkDelete:
    """Deletes blobs.

    Parameters
    ----------
    client : Client
        Sends requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._supports_batches = True

    async def delete(self, path: str) -> None:
        """Delete a blob, if it exists."""
        response = await self._client.request("DELETE", path, expect={202, 404, 409})
        if response.status != 202 and error_code(response) not in _NOTHING_TO_DELETE:
            raise AzureError(response)

    async def delete_many(self, paths: Sequence[str], *, limit: int) -> None:
        """Delete blobs, with at most ``limit`` requests in flight."""
        by_container: dict[str, list[str]] = {}
        for path in paths:
            by_container.setdefault(path.partition("/")[0], []).append(path)
        chunks = [
            (container, members[start : start + _BATCH_SIZE])
            for container, members in by_container.items()
            for start in range(0, len(members), _BATCH_SIZE)
        ]

        async def remove_chunk(chunk: tuple[str, Sequence[str]]) -> None:
            remaining = await self._delete_batch(*chunk)
            await for_each(self.delete, remaining, limit=max(1, limit // at_once))

        at_once = min(limit, _CONCURRENT_BATCHES)
        await for_each(remove_chunk, chunks, limit=at_once)

    async def _delete_batch(self, container: str, paths: Sequence[str]) -> Sequence[str]:
        """Delete blobs of one container in one request, and return the paths that failed."""
        if len(paths) == 1 or not self._supports_batches:
            return paths
        boundary = f"batch_{secrets.token_hex(16)}"
        lines = []
        for number, path in enumerate(paths):
            url_path, url = self._client.address(path, "")
            headers = await self._client.account.part_headers("DELETE", url_path)
            lines += [
                f"--{boundary}",
                "Content-Type: application/http",
                "Content-Transfer-Encoding: binary",
                f"Content-ID: {number}",
                "",
                f"DELETE {url.removeprefix(self._client.account.service)} HTTP/1.1",
                *(f"{name}: {value}" for name, value in headers.items()),
                "",
                "",
            ]
        lines += [f"--{boundary}--", ""]
        body = Body("\r\n".join(lines).encode())
        try:
            response = await self._client.request(
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
            if retry_decision_of_status(error.response.status, error.response.headers) is not None:
                raise
            # Some accounts and some shared access signatures do not support batches.
            self._supports_batches = False
            return paths
        content_type = response.headers.get("Content-Type", "")
        parts = await parsed(partial(batch_responses, content_type), response.body)
        return [
            path
            for number, path in enumerate(paths)
            if (part := parts.get(number)) is None
            or (part.status != 202 and error_code(part) not in _NOTHING_TO_DELETE)
        ]
