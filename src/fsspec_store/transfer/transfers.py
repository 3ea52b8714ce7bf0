"""The functions `plan`, `apply`, `copy`, `sync`, `verify` and `remove`."""

from __future__ import annotations

import time
from contextlib import aclosing, closing
from functools import partial
from typing import TYPE_CHECKING

from .._runtime.cluster import connect
from .._store.keys import directory_prefix
from ..errors import RefusedError, UnsupportedOperationError
from .applying import Applying
from .cluster import ClusterApplying, ClusterDifferences
from .key_order import ROOT_METADATA
from .memory import DEFAULT_BYTES, Memory
from .operations import Operation, State
from .options import CONCURRENCY, Options, checked_concurrency, concurrency_of, memory_of
from .planning import Differences
from .plans import Plan, location
from .refusals import check_apart, check_deletes, check_fresh, check_max_delete
from .results import Result
from .selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Unpack

    from distributed import Client

    from .._runtime.cluster import Cluster
    from .._store.contract import Store

__all__ = ["Options", "apply", "copy", "plan", "remove", "sync", "verify"]

_MAX_DELETE = 0.5


async def plan(
    source: Store, target: Store, *, delete: bool = False, **options: Unpack[Options]
) -> Plan:
    """Find what has to be done so that a store becomes equal to another. Changes nothing.

    Parameters
    ----------
    source, target : Store
        Any two stores that list keys.
    delete : bool, optional
        Whether keys that only the target has are to be deleted.
    **options
        See `Options`.

    Returns
    -------
    Plan
        Close it after use: many operations are in a temporary file.

    Raises
    ------
    RefusedError
        When the source has no selected key, unless ``allow_empty`` is true. When one of the stores
        is below the other one, unless ``exclude`` has its prefix, as ``"backup/**"``.
    """
    check_apart(source, target, options)
    result = Result()
    made = Plan(location(source), location(target))
    report = partial(_report, result, options.get("on_progress"))

    async def add(operation: Operation) -> None:
        made.add(operation)
        report()

    try:
        async with connect(options.get("client"), source, target) as cluster:
            memory = memory_of(options)
            differences = _differences(cluster, source, target, delete, result, options, memory)
            await differences.visit(add, concurrency=concurrency_of(options))
        if result.stopped_by is not None:
            raise result.stopped_by
        made.keys = differences.in_target
        made.equal, made.extra = result.equal, result.extra
        made.failed, made.failures = result.failed, result.failures
        made.left_out, made.names_left_out = result.left_out, result.names_left_out
    except BaseException:
        made.close()
        raise
    return made


async def apply(
    planned: Plan,
    source: Store,
    target: Store,
    *,
    max_delete: float = _MAX_DELETE,
    fail_fast: bool = False,
    concurrency: int = CONCURRENCY,
    memory_bytes: int = DEFAULT_BYTES,
    on_progress: Callable[[Result], object] | None = None,
    client: Client | str | None = None,
) -> Result:
    """Run the operations of a plan. Each checks first that both stores are as the plan states.

    Parameters
    ----------
    planned : Plan
        Of the same two stores.
    max_delete : float or int, optional
        Maximum number of keys to delete if it is an integer, else a share of the target's keys.
    fail_fast : bool, optional
        Raise the first failure of a key. By default it is counted, and the other keys follow.
    concurrency : int, optional
        Number of keys that are copied or deleted at once, ``>= 1``.
    memory_bytes, on_progress, client : optional
        See `Options`.

    Returns
    -------
    Result
        Counts and failures.

    Raises
    ------
    RefusedError
        When the plan is of other stores, or deletes more than ``max_delete``. Nothing is changed.
    """
    check_max_delete(max_delete)
    for name, of_plan, store in (
        ("source", planned.source, source),
        ("target", planned.target, target),
    ):
        if of_plan != location(store):
            raise RefusedError(
                f"the plan was made for the {name} {of_plan}, not for {location(store)}"
            )
    check_deletes(planned.deletes, planned.keys, max_delete)
    started = time.monotonic()
    result = Result(planned=len(planned), planned_bytes=planned.copy_bytes, is_listed=True)
    _report(result, on_progress)
    async with connect(client, source, target) as cluster:
        with closing(
            _applying(cluster)(
                source,
                target,
                result=result,
                concurrency=checked_concurrency(concurrency),
                memory=Memory(memory_bytes),
                check_states=True,
                fail_fast=fail_fast,
                deletes=planned.deletes > 0,
                on_progress=on_progress,
            )
        ) as applying:
            await applying.take_planned(planned)
            applying.permit_deletes()
            await applying.copy_waiting(of_root=False)
            await applying.copy_waiting(of_root=True)
            await applying.finish_deletes()
    result.seconds = time.monotonic() - started
    return result


async def copy(
    source: Store,
    target: Store,
    *,
    atomic: bool = False,
    fail_fast: bool = False,
    **options: Unpack[Options],
) -> Result:
    """Copy the keys that the target lacks or has with other bytes. Deletes nothing.

    Parameters
    ----------
    source, target : Store
        Any two stores; the source lists keys, and the target writes.
    atomic : bool, optional
        For a target without metadata at its root: write that metadata after all other keys are
        compared with the source again. No reader opens the target before.
    fail_fast : bool, optional
        Raise the first failure of a key. By default it is counted, and the other keys follow.
    **options
        See `Options`.

    Returns
    -------
    Result
        Counts and failures.

    Raises
    ------
    RefusedError
        When the source has no selected key, or when ``atomic`` is true and the target has metadata
        at its root, or when one of the stores is below the other one; see `plan`.
    """
    return await _transfer(source, target, None, atomic, fail_fast, options)


async def sync(
    source: Store,
    target: Store,
    *,
    max_delete: float = _MAX_DELETE,
    fail_fast: bool = False,
    **options: Unpack[Options],
) -> Result:
    """Make the target equal to the source: copy as `copy`, and then delete the other keys.

    Keys are deleted after all copies, and only if none failed. A file in the place of a folder, or
    the reverse, is deleted before the copy that needs its place, after all other chunks. Keys that
    ``include`` and ``exclude`` leave out are neither copied nor deleted.

    Parameters
    ----------
    source, target : Store
        Any two stores; the source lists keys, and the target lists, writes and deletes.
    max_delete : float or int, optional
        Maximum number of keys to delete if it is an integer, else a share of the target's keys.
    fail_fast : bool, optional
        Raise the first failure of a key. By default it is counted, and the other keys follow.
    **options
        See `Options`.

    Returns
    -------
    Result
        Counts and failures.

    Raises
    ------
    RefusedError
        When the source has no selected key, when one of the stores is below the other one (see
        `plan`), or when more keys would be deleted than ``max_delete``. Nothing is changed.
    """
    return await _transfer(source, target, max_delete, False, fail_fast, options)


async def verify(
    source: Store, target: Store, *, extra: bool = True, **options: Unpack[Options]
) -> Result:
    """Compare two stores. Changes nothing.

    Parameters
    ----------
    source, target : Store
        Any two stores that list keys.
    extra : bool, optional
        Whether keys that only the target has are differences.
    **options
        See `Options`.

    Returns
    -------
    Result
        `Result.differing` counts the keys that differ, and `Result.differences` lists the first
        10,000.
    """
    started = time.monotonic()
    result = Result()
    report = partial(_report, result, options.get("on_progress"))
    report()

    async def note(operation: Operation) -> None:
        result.add_difference(operation)
        report()

    async with connect(options.get("client"), source, target) as cluster:
        memory = memory_of(options)
        differences = _differences(cluster, source, target, extra, result, options, memory)
        await differences.visit(note, concurrency=concurrency_of(options))
    result.seconds = time.monotonic() - started
    return result


async def remove(
    store: Store,
    prefix: str = "",
    *,
    max_delete: float = _MAX_DELETE,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    concurrency: int = CONCURRENCY,
    on_progress: Callable[[Result], object] | None = None,
) -> Result:
    """Delete keys: metadata from the root to the leaves, and chunks last.

    Parameters
    ----------
    prefix : str, optional
        ``foo`` and ``foo/`` are the same; ``""`` is the whole store.
    max_delete : float or int, optional
        Maximum number of keys to delete if it is an integer, else a share of the keys below
        ``prefix``.
    include, exclude : iterable of str, optional
        Globs over keys; see `Selection`.
    concurrency : int, optional
        Number of keys that are deleted at once, ``>= 1``.
    on_progress : callable, optional
        See `Options`.

    Returns
    -------
    Result
        Counts and failures.

    Raises
    ------
    RefusedError
        When more keys would be deleted than ``max_delete``. Nothing is deleted.
    """
    check_max_delete(max_delete)
    started = time.monotonic()
    selection, result = Selection(include, exclude), Result()
    _report(result, on_progress)
    with closing(
        Applying(
            None,
            store,
            result=result,
            concurrency=checked_concurrency(concurrency),
            on_progress=on_progress,
        )
    ) as applying:
        async with aclosing(store.list_entries(directory_prefix(prefix))) as entries:
            async for entry in entries:
                result.listed += 1
                if entry.key in selection:
                    result.planned += 1
                    await applying.take(
                        Operation("delete", entry.key, "removed", None, State.of(entry))
                    )
        result.is_listed = True
        if not store.supports_deletes:
            raise UnsupportedOperationError(f"{store!r} does not support deletes")
        check_deletes(applying.deletes, result.listed, max_delete)
        await applying.finish_deletes()
    result.seconds = time.monotonic() - started
    return result


async def _transfer(
    source: Store,
    target: Store,
    max_delete: float | None,
    atomic: bool,
    fail_fast: bool,
    options: Options,
) -> Result:
    """Copy, and delete unless ``max_delete`` is ``None``."""
    if max_delete is not None:
        check_max_delete(max_delete)
    if not target.supports_writes:
        raise UnsupportedOperationError(f"{target!r} does not support writes")
    check_apart(source, target, options)
    if atomic:
        await check_fresh(target)
    started = time.monotonic()
    result = Result()
    _report(result, options.get("on_progress"))
    concurrency, memory = concurrency_of(options), memory_of(options)
    delete = max_delete is not None
    async with connect(options.get("client"), source, target) as cluster:
        differences = _differences(cluster, source, target, delete, result, options, memory)
        with closing(
            _applying(cluster)(
                source,
                target,
                result=result,
                concurrency=concurrency,
                memory=memory,
                fail_fast=fail_fast,
                deletes=delete,
                on_progress=options.get("on_progress"),
            )
        ) as applying:
            await applying.take_differences(differences)
            if max_delete is not None and result.stopped_by is None:
                check_deletes(applying.deletes, differences.in_target, max_delete)
                applying.permit_deletes()
            await applying.copy_waiting(of_root=False)
            if atomic and not (
                result.stopped_by is None and await _is_complete(source, target, options)
            ):
                applying.hold_root_back()
            await applying.copy_waiting(of_root=True)
            if max_delete is not None:
                await applying.finish_deletes()
    result.seconds = time.monotonic() - started
    return result


def _report(result: Result, on_progress: Callable[[Result], object] | None) -> None:
    if on_progress is not None:
        on_progress(result)


async def _is_complete(source: Store, target: Store, options: Options) -> bool:
    """Whether the target has all keys of the source, without metadata of the root."""
    exclude = (*Selection(exclude=options.get("exclude", ())).exclude, *ROOT_METADATA)
    below: Options = {**options, "exclude": exclude, "allow_empty": True}
    below.pop("on_progress", None)
    found = await verify(source, target, extra=False, **below)
    return not (found.failed or found.differing or found.stopped_by)


def _applying(cluster: Cluster | None) -> Callable[..., Applying]:
    return Applying if cluster is None else partial(ClusterApplying, cluster)


def _differences(
    cluster: Cluster | None,
    source: Store,
    target: Store,
    delete: bool,
    result: Result,
    options: Options,
    memory: Memory,
) -> Differences:
    kind = Differences if cluster is None else partial(ClusterDifferences, cluster)
    return kind(
        source,
        target,
        selection=Selection(options.get("include", ()), options.get("exclude", ())),
        compare=options.get("compare", "checksum"),
        memory=memory,
        delete=delete,
        allow_empty=options.get("allow_empty", False),
        result=result,
        on_progress=options.get("on_progress"),
    )
