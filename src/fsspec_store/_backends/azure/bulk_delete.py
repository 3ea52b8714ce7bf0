"""Deletes blobs, in batches where the account supports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._http.parsing import parsed
from ..._http.payloads import Body
from ..._http.retry_policy import retry_decision_of_status
from ..object_store.batches import batch_body, batch_responses
from ..object_store.bulk_delete import BatchesUnsupportedError, BulkDelete
from .responses import AzureError, error_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .client import Client

__all__ = ["AzureBulkDelete"]

#: There is no blob, or the path is a directory that is not empty.
_NOTHING_TO_DELETE = frozenset({"BlobNotFound", "DirectoryIsNotEmpty"})


class AzureBulkDelete(BulkDelete):
    """Deletes blobs."""

    #: "Blob Batch".
    batch_size = 256

    def __init__(self, client: Client) -> None:
        self._client = client

    async def delete(self, bucket: str, name: str) -> None:
        response = await self._client.request("DELETE", f"{bucket}/{name}", expect={202, 404, 409})
        if response.status != 202 and error_code(response) not in _NOTHING_TO_DELETE:
            raise AzureError(response)

    async def _delete_batch(self, bucket: str, names: Sequence[str]) -> Sequence[str]:
        requests = []
        for name in names:
            url_path, url = self._client.address(f"{bucket}/{name}", "")
            # The batch states the version.
            headers = await self._client.account.headers(
                "DELETE", url_path, "", {"Content-Length": "0"}
            )
            request_line = f"DELETE {url.removeprefix(self._client.account.service)} HTTP/1.1"
            fields = (f"{name}: {value}" for name, value in headers.items())
            requests.append("\r\n".join([request_line, *fields]))
        body, content_type = batch_body(requests)
        try:
            response = await self._client.request(
                "POST",
                bucket,
                "restype=container&comp=batch",
                expect={202},
                headers={"Content-Type": content_type, "Content-Length": str(len(body))},
                data=Body(body),
            )
        except AzureError as error:
            if retry_decision_of_status(error.response.status, error.response.headers) is not None:
                raise
            # Some accounts and some shared access signatures do not support batches.
            raise BatchesUnsupportedError from error
        outcomes = await parsed(lambda _: batch_responses(response), response.body)
        return [
            name
            for number, name in enumerate(names)
            if (outcome := outcomes.get(number)) is None
            or (outcome.status != 202 and error_code(outcome) not in _NOTHING_TO_DELETE)
        ]
