"""`check` without ``await``, for scripts, notebooks and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._runtime.blocking import run
from .check import check as check_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._store.contract import Store
    from .check import Progress
    from .report import Report

__all__ = ["check"]


def check(
    store: Store,
    *,
    prefix: str = "",
    deep: bool = False,
    shards: bool = False,
    allow_missing: bool | Iterable[str] = (),
    expectation: Mapping[str, Any] | None = None,
    concurrency: int = 16,
    on_progress: Callable[[Progress], object] | None = None,
) -> Report:
    """Check which keys of a zarr data set are missing, broken, or belong to nothing.

    See `fsspec_store.dataset.check`. It runs on an event loop in another thread, so it also works
    while a loop is running, as in a notebook. ``on_progress`` is called in that thread.
    """
    return run(
        check_async(
            store,
            prefix=prefix,
            deep=deep,
            shards=shards,
            allow_missing=allow_missing,
            expectation=expectation,
            concurrency=concurrency,
            on_progress=on_progress,
        )
    )
