"""A store's methods for callers that do not await: scripts, notebooks, worker threads.

They run on fsspec's own event loop, in fsspec's own thread, so it does not matter whether a loop
runs here already, as in a notebook, nor which thread calls. What waits for nothing but a file or
memory runs where it is called. Knows the contract, and no backend.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar

# Now, and not in the first call: a module that another thread imports during a fork can never be
# imported in the child.
import fsspec.asyn

from .forks import in_child
from .leftovers import ABANDONED_AFTER
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES
from .threads import run_in_place

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence

    from .buffer import Buffer, BufferPrototype
    from .byte_requests import ByteRequest
    from .contract import Store, Values
    from .leftovers import Leftover, Leftovers
    from .store import FsspecStore, Versioned

__all__ = ["SyncFsspecStore", "SyncStore", "iterate", "run"]

T = TypeVar("T")

#: What work on a generator holds meanwhile.
Turn: TypeAlias = AbstractAsyncContextManager[None]

#: Items of a listing that are fetched in one go; a page of most services.
_MOST_ITEMS = 1000


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on fsspec's loop, and return what it returns.

    An interruption here, as by Ctrl-C, cancels it.

    Parameters
    ----------
    work : coroutine
        Not begun yet.

    Returns
    -------
    object
        What the coroutine returns.

    Raises
    ------
    RuntimeError
        When called on that very loop, which would wait for itself, or as the interpreter ends, when
        that loop's thread runs no more.
    Exception
        What the coroutine raises.
    """
    if sys.is_finalizing():
        work.close()
        raise RuntimeError(
            "a blocking call as the interpreter ends: fsspec's event loop has stopped"
        )
    loop = fsspec.asyn.get_loop()
    try:
        here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop:
        work.close()
        raise RuntimeError("a blocking call on fsspec's own event loop: await the method instead")
    call = _Call(work)
    try:
        loop.call_soon_threadsafe(call.begin)
        return call.answer.result()
    except BaseException:
        if not call.answer.done():
            loop.call_soon_threadsafe(call.leave)
        raise
    finally:
        # It holds the error that is raised here, and that this frame: a circle.
        del call


class _Call(Generic[T]):
    """Work on another thread's loop, which is over when who waits for it here leaves.

    `asyncio.run_coroutine_threadsafe` begins the work before it has returned what cancels it: an
    interruption in between would leave it running.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.answer: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        """To be called on the loop, first."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._end)

    def leave(self) -> None:
        """To be called on the loop, whether it was begun or not."""
        if self._task is None:
            self._work.close()
        else:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.answer.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(task.result())


def iterate(
    items: AsyncGenerator[T, None], runner: Callable[[Coroutine[Any, Any, Any]], Any] = run
) -> Iterator[T]:
    """The items of an asynchronous generator as they come, more and more in one go.

    Parameters
    ----------
    items : async generator
        Closed when the iterator is.
    runner : callable, optional
        Runs a coroutine to its end.

    Yields
    ------
    object
        Each item, in order.
    """
    size = 1
    # What was interrupted on another thread may still be ending, and a generator that runs cannot
    # be closed. In place it has ended; a lock that was interrupted there would stay locked.
    turn: Turn = asyncio.Lock() if runner is run else nullcontext()
    try:
        while batch := runner(_next(items, size, turn)):
            yield from batch
            size = min(2 * size, _MOST_ITEMS)
    finally:
        # As the interpreter ends no loop runs that could close it.
        if not sys.is_finalizing():
            runner(_close(items, turn))


async def _next(items: AsyncGenerator[T, None], size: int, turn: Turn) -> list[T]:
    found: list[T] = []
    async with turn:
        async for item in items:
            found.append(item)
            if len(found) == size:
                break
    return found


async def _close(items: AsyncGenerator[T, None], turn: Turn) -> None:
    async with turn:
        await items.aclose()


class SyncStore:
    """The methods of a store without ``await``, for scripts, notebooks and threads.

    Parameters
    ----------
    store : Store
        Any store; it may be used both ways at the same time.
    in_place : bool, optional
        Whether what the store does with one key waits for nothing but files or memory, and so runs
        on the calling thread.
    """

    def __init__(self, store: Store, *, in_place: bool = False) -> None:
        self._store = store
        self._in_place = in_place

    def _run_one(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what is done with one key."""
        return run_in_place(work) if self._in_place else run(work)

    def __repr__(self) -> str:
        return f"{self._store!r}.sync"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and the connections it opened; see `Store.aclose`."""
        run(self._store.aclose())

    # -- Reading -------------------------------------------------------------------------------

    def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value, or a part of it; ``None`` when the key is missing.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            Which buffer class to return; the store's own by default.
        byte_range : ByteRequest, optional
            `RangeByteRequest`, `OffsetByteRequest` or `SuffixByteRequest`; all bytes by default.

        Returns
        -------
        Buffer or None
            ``None`` when the key is missing, and only then.

        Raises
        ------
        ByteRangeError
            When a range is empty, or starts at or past the end of the value.
        """
        return self._run_one(self._store.get(key, prototype, byte_range))

    def get_partial_values(
        self,
        prototype: BufferPrototype | None,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> Values:
        """Read parts of many values, as a list in the order they were asked for.

        Parameters
        ----------
        prototype : BufferPrototype or None
            Which buffer class to return.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys with the bytes wanted of them; a key may repeat.

        Returns
        -------
        list of Buffer or None
            In the order of ``key_ranges``, ``None`` for a missing key.
        """
        return run(self._store.get_partial_values(prototype, key_ranges))

    def get_ranges(
        self,
        key: str,
        byte_ranges: Sequence[ByteRequest | None],
        *,
        prototype: BufferPrototype | None = None,
        max_concurrency: int | None = None,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Iterator[Sequence[tuple[int, Buffer]]]:
        """Read many parts of one value, nearby ones together.

        Parameters
        ----------
        key : str
            The key.
        byte_ranges : sequence of ByteRequest or None
            Parts of the value, in any order, overlapping or repeated.
        prototype : BufferPrototype, optional
            Which buffer class to return.
        max_concurrency : int, optional
            How many fetches run at once, ``>= 1``.
        max_gap_bytes, max_coalesced_bytes : int, optional
            Which ranges are fetched together, in bytes: see `Store.get_ranges`.

        Yields
        ------
        sequence of (int, Buffer)
            For each fetch, in completion order: indexes into ``byte_ranges``, and their bytes.

        Raises
        ------
        ExceptionGroup
            Of whatever a fetch raised; of ``FileNotFoundError`` when the key is missing.
        """
        return iterate(
            self._store.get_ranges(
                key,
                byte_ranges,
                prototype=prototype,
                # One after the other no task is needed.
                max_concurrency=1 if self._in_place else max_concurrency,
                max_gap_bytes=max_gap_bytes,
                max_coalesced_bytes=max_coalesced_bytes,
            ),
            self._run_one,
        )

    def exists(self, key: str) -> bool:
        """Whether there is a value at this key; see `Store.exists`."""
        return self._run_one(self._store.exists(key))

    def getsize(self, key: str) -> int:
        """Size of a value in bytes; ``FileNotFoundError`` when the key is missing.

        See `Store.getsize`.
        """
        return self._run_one(self._store.getsize(key))

    # -- Writing and deleting ------------------------------------------------------------------

    def set(self, key: str, value: Buffer) -> None:
        """Replace the whole value, visible all at once; see `Store.set`."""
        self._run_one(self._store.set(key, value))

    def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing; do nothing if it is not.

        See `Store.set_if_not_exists`.
        """
        self._run_one(self._store.set_if_not_exists(key, value))

    def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values, leaving their other bytes as they are.

        Parameters
        ----------
        key_start_values : iterable of (str, int, bytes-like or Buffer)
            Where each part goes. A part past the end of its value is preceded by zeros, and a
            missing key is created.
        """
        run(self._store.set_partial_values(key_start_values))

    def delete(self, key: str) -> None:
        """Remove a key; a missing one is no error. Keys below ``key/`` stay; see `Store.delete`."""
        self._run_one(self._store.delete(key))

    def delete_dir(self, prefix: str) -> None:
        """Remove every key under ``prefix/``; see `Store.delete_dir`."""
        run(self._store.delete_dir(prefix))

    def clear(self) -> None:
        """Remove every key of the store; see `Store.clear`."""
        run(self._store.clear())

    # -- Listing -------------------------------------------------------------------------------

    def list(self) -> Iterator[str]:
        """Yield every key, in no promised order; see `Store.list`."""
        return iterate(self._store.list())

    def list_prefix(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with the string ``prefix``; see `Store.list_prefix`."""
        return iterate(self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> Iterator[str]:
        """Yield the names of keys and prefixes directly under ``prefix/``; see `Store.list_dir`."""
        return iterate(self._store.list_dir(prefix))

    def is_empty(self, prefix: str) -> bool:
        """Whether no key lies under ``prefix/``; see `Store.is_empty`."""
        return run(self._store.is_empty(prefix))

    def getsize_prefix(self, prefix: str) -> int:
        """Sum of the sizes of all values under ``prefix/``, in bytes.

        See `Store.getsize_prefix`.
        """
        return run(self._store.getsize_prefix(prefix))


class SyncFsspecStore(SyncStore):
    """The methods of a `FsspecStore` without ``await``, for scripts, notebooks and threads.

    Parameters
    ----------
    store : FsspecStore
        See `SyncStore`.
    in_place : bool
        See `SyncStore`.
    """

    _store: FsspecStore

    def __init__(self, store: FsspecStore, *, in_place: bool) -> None:
        super().__init__(store, in_place=in_place)

    def get_version(self, key: str, prototype: BufferPrototype | None = None) -> Versioned | None:
        """Read a value with its version, the only one that ``set(..., if_match=...)`` replaces.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            Which buffer class to return.

        Returns
        -------
        Versioned or None
            The value and its version, ``None`` when the key is missing.

        Raises
        ------
        UnsupportedOperationError
            Where the store's ``supports_compare_and_swap`` is false.
        """
        return self._run_one(self._store.get_version(key, prototype))

    def get_partial_values(
        self,
        prototype: BufferPrototype | None,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
        *,
        max_gap_bytes: int = MAX_GAP_BYTES,
        max_coalesced_bytes: int = MAX_COALESCED_BYTES,
    ) -> Values:
        """Read parts of many values, nearby parts of one value together.

        Parameters
        ----------
        prototype : BufferPrototype or None
            Which buffer class to return.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys with the bytes wanted of them; a key may repeat.
        max_gap_bytes, max_coalesced_bytes : int, optional
            Which ranges are fetched together, in bytes: see `Store.get_ranges`.

        Returns
        -------
        list of Buffer or None
            In the order of ``key_ranges``, ``None`` for a missing key.
        """
        return run(
            self._store.get_partial_values(
                prototype,
                key_ranges,
                max_gap_bytes=max_gap_bytes,
                max_coalesced_bytes=max_coalesced_bytes,
            )
        )

    def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        """Replace the whole value, visible all at once.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value; bytes are wrapped by `Buffer.from_bytes`.
        if_match : str, optional
            Replace only this version, as `get_version` returned it.

        Raises
        ------
        VersionMismatchError
            When the key has another version than ``if_match``, or is missing; nothing is written.
        """
        self._run_one(self._store.set(key, value, if_match=if_match))

    def list_prefix(self, prefix: str, *, fan_out: int = 1) -> Iterator[str]:
        """Yield every key that starts with the string ``prefix``.

        Parameters
        ----------
        prefix : str
            ``""``, or the beginning of a key.
        fan_out : int, optional
            List so many of the common prefixes below at once: see `FsspecStore.list_prefix`.

        Yields
        ------
        str
            Relative to the store's root.
        """
        return iterate(self._store.list_prefix(prefix, fan_out=fan_out))

    def list_sizes(self, prefix: str = "", *, fan_out: int = 1) -> Iterator[tuple[str, int | None]]:
        """Yield every key that starts with the string ``prefix``, with its size.

        Parameters
        ----------
        prefix : str, optional
            ``""``, or the beginning of a key.
        fan_out : int, optional
            List so many of the common prefixes below at once: see `FsspecStore.list_prefix`.

        Yields
        ------
        key : str
            Relative to the store's root.
        size : int or None
            In bytes; ``None`` where the backend lists no sizes.
        """
        return iterate(self._store.list_sizes(prefix, fan_out=fan_out))

    def list_leftovers(self, prefix: str = "") -> Iterator[Leftover]:
        """Yield what writers that were killed left under ``prefix/``, and no listing shows.

        Parameters
        ----------
        prefix : str, optional
            The whole store when left out. See `FsspecStore.list_leftovers`.

        Yields
        ------
        Leftover
            What it is, where, and how old.
        """
        return iterate(self._store.list_leftovers(prefix))

    def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        """Remove what writers that were killed left under ``prefix/``, and return it.

        Parameters
        ----------
        prefix : str, optional
            The whole store when left out.
        older_than : float, optional
            Seconds since it was begun or written last; younger ones may be writes under way. See
            `FsspecStore.remove_leftovers`.

        Returns
        -------
        list of Leftover
            What was removed.
        """
        return run(self._store.remove_leftovers(prefix, older_than=older_than))

    def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        """Sum of the sizes of all values under ``prefix/``, in bytes.

        See `FsspecStore.getsize_prefix`.
        """
        return run(self._store.getsize_prefix(prefix, fan_out=fan_out))


@in_child
def _forget_loop() -> None:
    """Let fsspec make a new loop in a forked child, where its thread is not; older ones do not."""
    fsspec.asyn.reset_lock()
