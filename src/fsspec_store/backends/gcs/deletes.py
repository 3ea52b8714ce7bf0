"""How many objects are deleted: a batch a request, or one by one where the service takes none.

Knows what becomes of the parts of a batch, and not how a request is sent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...concurrency import for_each
from ..foreign import ForeignAnswerError
from ..http_answers import StatusError
from ..parsing import parsed
from .answers import failures_of_batch, is_unclear, outcomes_of_batch, verdict
from .requests import batch_of_deletions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .buckets import Buckets
    from .calls import Calls

__all__ = ["Deletes"]

#: Most calls in one batch (Cloud Storage, "Sending batch requests").
_MOST = 100
_AT_ONCE = 4
#: What a service without batches answers.
_NOT_IN_BATCHES = frozenset({400, 404, 405, 406, 410, 411, 412, 413, 414, 415, 422, 501})


class Deletes:
    """Deletes objects.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    buckets : Buckets
        Says what a missing object means.
    """

    def __init__(self, calls: Calls, buckets: Buckets) -> None:
        self._calls = calls
        self._buckets = buckets
        self._in_batches = True

    async def one(self, target: tuple[str, str]) -> None:
        """Delete the object of a bucket and a name, if it is there."""
        answer = await self._calls.call("DELETE", self._calls.url(*target), expect=(200, 204, 404))
        await self._buckets.has_object(target[0], answer)

    async def many(self, targets: Sequence[tuple[str, str]], *, limit: int) -> None:
        """Delete objects, so many requests at once at most."""
        batches = [targets[start : start + _MOST] for start in range(0, len(targets), _MOST)]
        await for_each(partial(self._batch, limit=limit), batches, limit=min(limit, _AT_ONCE))

    async def _batch(self, targets: Sequence[tuple[str, str]], *, limit: int) -> None:
        left = list(targets)
        unsure: set[str] = set()

        async def attempt() -> None:
            nonlocal left
            urls = [self._calls.url(*target, host="") for target in left]
            body, content_type = batch_of_deletions(urls)
            try:
                answer = await self._calls.once(
                    "POST",
                    f"{self._calls.endpoint}/batch/storage/v1",
                    expect=(200,),
                    headers={"Content-Type": content_type, "Content-Length": str(body.size)},
                    data=body,
                )
            except (StatusError, ForeignAnswerError) as error:
                status = error.answer.status if isinstance(error, StatusError) else error.status
                if status not in _NOT_IN_BATCHES:
                    raise
                self._in_batches = False
                return
            outcomes = await parsed(lambda _: outcomes_of_batch(answer), answer.body)
            unsure.update(
                bucket
                for number, (bucket, _) in enumerate(left)
                if number in outcomes and is_unclear(outcomes[number])
            )
            failures = failures_of_batch(outcomes, len(left))
            left = [left[number] for number in failures]
            if left:
                # What another attempt would not change, before what it may.
                raise min(failures.values(), key=lambda error: verdict(error) is not None)

        if self._in_batches and len(left) > 1:
            await self._calls.send(attempt)
        if not self._in_batches or len(targets) == 1:
            await for_each(self.one, left, limit=limit)
        for bucket in unsure:
            await self._buckets.require(bucket)
