"""Deletes objects, in batches where the service supports them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._http.parsing import parsed
from ..._http.payloads import Body
from ..._http.responses import StatusError
from ..._http.unexpected_responses import UnexpectedServerError
from ..object_store.batches import batch_body
from ..object_store.bulk_delete import BatchesUnsupportedError, BulkDelete
from .responses import batch_failures, is_ambiguous_404, outcomes_of_batch, retry_decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .buckets import GCSBuckets
    from .client import Client

__all__ = ["GCSBulkDelete"]

#: Statuses of a service that does not support batches.
_BATCHES_UNSUPPORTED = frozenset({400, 404, 405, 406, 410, 411, 412, 413, 414, 415, 422, 501})


class GCSBulkDelete(BulkDelete):
    """Deletes objects."""

    #: Cloud Storage, "Sending batch requests".
    batch_size = 100

    def __init__(self, client: Client, buckets: GCSBuckets) -> None:
        self._client = client
        self._buckets = buckets

    async def delete(self, bucket: str, name: str) -> None:
        url = self._client.url(bucket, name)
        response = await self._client.request("DELETE", url, expect=(200, 204, 404))
        await self._buckets.has_object(bucket, response)

    async def _delete_batch(self, bucket: str, names: Sequence[str]) -> Sequence[str]:
        endpoint = self._client.endpoint
        remaining = names
        is_ambiguous = False

        async def attempt(url: str, headers: Mapping[str, str]) -> None:
            nonlocal remaining, is_ambiguous
            urls = [self._client.url(bucket, name).removeprefix(endpoint) for name in remaining]
            body, content_type = batch_body([f"DELETE {url} HTTP/1.1" for url in urls], "<{}>")
            try:
                response = await self._client.once(
                    "POST",
                    url,
                    {**headers, "Content-Type": content_type},
                    expect=(200,),
                    data=Body(body),
                )
                outcomes = await parsed(lambda _: outcomes_of_batch(response), response.body)
            except (StatusError, UnexpectedServerError) as error:
                status = error.response.status if isinstance(error, StatusError) else error.status
                if status not in _BATCHES_UNSUPPORTED:
                    raise
                raise BatchesUnsupportedError from error
            is_ambiguous = is_ambiguous or any(map(is_ambiguous_404, outcomes.values()))
            failures = batch_failures(outcomes, len(remaining))
            remaining = [remaining[number] for number in failures]
            if remaining:
                # Permanent errors first: they must not be retried.
                raise min(failures.values(), key=lambda error: retry_decision(error) is not None)

        await self._client.sign_and_retry(f"{endpoint}/batch/storage/v1", {}, attempt)
        if is_ambiguous:
            await self._buckets.require(bucket)
        return ()
