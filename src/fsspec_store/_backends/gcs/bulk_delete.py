"""Deletes objects in batches, or one by one where the service does not support batches.

Handles the response to each part of a batch. Does not know how a request is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..._http.parsing import parsed
from ..._http.responses import StatusError
from ..._http.unexpected_responses import UnexpectedServerError
from ..._runtime.concurrency import for_each
from .bodies import deletion_batch
from .responses import batch_failures, is_ambiguous_404, outcomes_of_batch, retry_decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buckets import Buckets
    from .client import Client

__all__ = ["BulkDelete"]

#: Maximum number of calls in a batch (Cloud Storage, "Sending batch requests").
_BATCH_SIZE = 100
_CONCURRENT_BATCHES = 4
#: Statuses of a service that does not support batches.
_BATCHES_UNSUPPORTED = frozenset({400, 404, 405, 406, 410, 411, 412, 413, 414, 415, 422, 501})


class BulkDelete:
    """Deletes objects.

    Parameters
    ----------
    client : Client
        Sends requests.
    buckets : Buckets
        Tells a missing object from a missing bucket.
    """

    def __init__(self, client: Client, buckets: Buckets) -> None:
        self._client = client
        self._buckets = buckets
        self._supports_batches = True

    async def delete(self, target: tuple[str, str]) -> None:
        """Delete an object, given by bucket and name, if it exists."""
        url = self._client.url(*target)
        response = await self._client.request("DELETE", url, expect=(200, 204, 404))
        await self._buckets.has_object(target[0], response)

    async def delete_many(self, targets: Sequence[tuple[str, str]], *, limit: int) -> None:
        """Delete objects, with at most ``limit`` requests in flight."""
        batches = [targets[i : i + _BATCH_SIZE] for i in range(0, len(targets), _BATCH_SIZE)]
        delete = partial(self._delete_batch, limit=limit)
        await for_each(delete, batches, limit=min(limit, _CONCURRENT_BATCHES))

    async def _delete_batch(self, targets: Sequence[tuple[str, str]], *, limit: int) -> None:
        remaining = list(targets)
        ambiguous_buckets: set[str] = set()

        async def attempt() -> None:
            nonlocal remaining
            urls = [self._client.url(*target, host="") for target in remaining]
            body, content_type = deletion_batch(urls)
            try:
                response = await self._client.request_once(
                    "POST",
                    f"{self._client.endpoint}/batch/storage/v1",
                    expect=(200,),
                    headers={"Content-Type": content_type, "Content-Length": str(body.size)},
                    data=body,
                )
                outcomes = await parsed(lambda _: outcomes_of_batch(response), response.body)
            except (StatusError, UnexpectedServerError) as error:
                status = error.response.status if isinstance(error, StatusError) else error.status
                if status not in _BATCHES_UNSUPPORTED:
                    raise
                self._supports_batches = False
                return
            ambiguous_buckets.update(
                bucket
                for number, (bucket, _) in enumerate(remaining)
                if number in outcomes and is_ambiguous_404(outcomes[number])
            )
            failures = batch_failures(outcomes, len(remaining))
            remaining = [remaining[number] for number in failures]
            if remaining:
                # Permanent errors first: they must not be retried.
                raise min(failures.values(), key=lambda error: retry_decision(error) is not None)

        if self._supports_batches and len(remaining) > 1:
            await self._client.retry(attempt)
        if not self._supports_batches or len(targets) == 1:
            await for_each(self.delete, remaining, limit=limit)
        for bucket in ambiguous_buckets:
            await self._buckets.require(bucket)
