"""`SyncStore`: the methods of a store for callers that do not await.

Each method runs the asynchronous method of the same name to its end. On memory and local files it
runs on the calling thread, elsewhere on fsspec's event loop in another thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from .._core.leftovers import ABANDONED_AFTER, Leftover, Leftovers
from .._runtime.blocking import iterate, run
from .._runtime.threads import run_in_place
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES
from .sync_streams import SyncReader, SyncWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

    from .._core.byte_requests import ByteRequest
    from .buffer import Buffer, BufferPrototype
    from .entries import Entry
    from .store_reading import ReadableStore, Values, Versioned
    from .store_writing import WritableStore

__all__ = ["SyncStore"]

T = TypeVar("T")


class SyncStore:
    """The methods of a store without ``await``, for scripts, notebooks and threads.

    Parameters
    ----------
    store : Store
        Any store. Its asynchronous methods may be used at the same time.
    in_place : bool, optional
        Whether operations on one key run on the calling thread, without an event loop. Only for
        stores that never await a socket.
    """

    def __init__(self, store: WritableStore, *, in_place: bool = False) -> None:
        self._store = store
        self._in_place = in_place

    def _run_one(self, work: Coroutine[Any, Any, T]) -> T:
        """Run an operation on one key."""
        return run_in_place(work) if self._in_place else run(work)

    def __repr__(self) -> str:
        return f"{self._store!r}.sync"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store and release its connections. Closing it again has no effect."""
        run(self._store.aclose())

    # -- Reading -------------------------------------------------------------------------------

    def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a value, or a part of it; ``None`` when the key is missing. See `Store.get`.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.
        byte_range : ByteRequest, optional
            `RangeByteRequest`, `OffsetByteRequest` or `SuffixByteRequest`. The default is all
            bytes.
        """
        return self._run_one(self._store.get(key, prototype, byte_range))

    def get_version(self, key: str, prototype: BufferPrototype | None = None) -> Versioned | None:
        """Read a value with its version, for ``set(..., if_match=version)``.

        See `Store.get_version`. ``None`` when the key is missing.
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
        """Read parts of many values. Nearby parts of one value are fetched together.

        See `Store.get_partial_values`. The list is in the order of ``key_ranges``, with ``None``
        for a missing key.
        """
        return run(
            self._store.get_partial_values(
                prototype,
                key_ranges,
                max_gap_bytes=max_gap_bytes,
                max_coalesced_bytes=max_coalesced_bytes,
            )
        )

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
        """Read many parts of one value. Nearby parts are fetched together.

        See `Store.get_ranges`. Yields the parts of each fetch: their indexes in ``byte_ranges``,
        and their bytes.
        """
        return iterate(
            self._store.get_ranges(
                key,
                byte_ranges,
                prototype=prototype,
                # Fetches in sequence need no tasks, and so no event loop.
                max_concurrency=1 if self._in_place else max_concurrency,
                max_gap_bytes=max_gap_bytes,
                max_coalesced_bytes=max_coalesced_bytes,
            ),
            run_in_place if self._in_place else run,
        )

    def open_reader(self, key: str, *, version: str | None = None, start: int = 0) -> SyncReader:
        """Read a value in parts, in order, in memory of a few parts for any size.

        See `Store.open_reader`. Use it as ``with store.sync.open_reader(key) as reader: for part in
        reader: ...``.
        """
        reader = self._store.open_reader(key, version=version, start=start)
        return SyncReader(reader, self._run_one)

    def exists(self, key: str) -> bool:
        """Whether the key has a value. A prefix of other keys is not a key. See `Store.exists`."""
        return self._run_one(self._store.exists(key))

    def getsize(self, key: str) -> int:
        """Size of a value in bytes; ``FileNotFoundError`` when the key is missing.

        See `Store.getsize`.
        """
        return self._run_one(self._store.getsize(key))

    def get_entry(self, key: str) -> Entry:
        """What the service states about a key, without its value. See `Store.get_entry`."""
        return self._run_one(self._store.get_entry(key))

    # -- Writing and deleting ------------------------------------------------------------------

    def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        """Replace the whole value. Readers see the old value or the new one, never a mixture.

        See `Store.set`. `Buffer.from_bytes` wraps bytes. With ``if_match`` it writes only when the
        key still has this version, else it raises `VersionMismatchError`.
        """
        self._run_one(self._store.set(key, value, **_given(if_match=(if_match, None))))

    def open_writer(self, key: str, *, size: int | None = None) -> SyncWriter:
        """Write a value in parts, in memory of a few parts. It becomes visible all at once.

        See `Store.open_writer`. Use it in a ``with`` block, and call ``finish()`` at its end.
        """
        return SyncWriter(self._store.open_writer(key, size=size), self._run_one)

    def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing. An existing value stays as it is.

        See `Store.set_if_not_exists`.
        """
        self._run_one(self._store.set_if_not_exists(key, value))

    def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values. The other bytes of each value stay as they are.

        See `Store.set_partial_values`. Each part is a key, its first byte, and its new bytes.
        """
        run(self._store.set_partial_values(key_start_values))

    def copy_from(
        self,
        source: ReadableStore,
        key: str,
        to: str | None = None,
        *,
        version: str | None = None,
    ) -> None:
        """Copy a value of a store to this one, on the service where that is possible.

        See `Store.copy_from`.

        Parameters
        ----------
        source : Store
            The store of the value, not its ``sync``.
        key : str
            The key in ``source``.
        to : str, optional
            The key in this store. The default is ``key``.
        version : str, optional
            Copy only when the value has this version.
        """
        copying = self._store.copy_from(source, key, to, version=version)
        in_place = self._in_place and source._runs_in_place
        (run_in_place if in_place else run)(copying)

    def delete(self, key: str) -> None:
        """Delete a key. A missing key is not an error. Keys under ``key/`` are not deleted.

        See `Store.delete`.
        """
        self._run_one(self._store.delete(key))

    def delete_dir(self, prefix: str) -> None:
        """Delete every key under ``prefix/``; ``""`` is the root. See `Store.delete_dir`."""
        run(self._store.delete_dir(prefix))

    def clear(self) -> None:
        """Delete every key of the store. The bucket or folder at its root stays."""
        run(self._store.clear())

    # -- Listing -------------------------------------------------------------------------------

    def list(self) -> Iterator[str]:
        """Yield every key, relative to the store's root, in no guaranteed order."""
        return iterate(self._store.list())

    def list_prefix(self, prefix: str, *, fan_out: int = 1) -> Iterator[str]:
        """Yield every key that starts with the string ``prefix``. See `Store.list_prefix`."""
        return iterate(self._store.list_prefix(prefix, **_given(fan_out=(fan_out, 1))))

    def list_sizes(self, prefix: str = "", *, fan_out: int = 1) -> Iterator[tuple[str, int | None]]:
        """Yield every key that starts with the string ``prefix``, with the size of its value.

        See `Store.list_sizes`. The size is in bytes, ``None`` when the backend lists none.
        """
        return iterate(self._store.list_sizes(prefix, fan_out=fan_out))

    def list_entries(
        self,
        prefix: str = "",
        *,
        start_after: str | None = None,
        on_left_out: Callable[[str], object] | None = None,
    ) -> Iterator[Entry]:
        """Yield what the service lists of each key, in the order of the keys' UTF-8 bytes.

        See `Store.list_entries`. ``start_after`` is a key, or any text in the order of keys: only
        keys after it are yielded.
        """
        given = _given(on_left_out=(on_left_out, None))
        return iterate(self._store.list_entries(prefix, start_after=start_after, **given))

    def list_dir(self, prefix: str) -> Iterator[str]:
        """Yield the names of keys and prefixes directly under ``prefix/``. See `Store.list_dir`."""
        return iterate(self._store.list_dir(prefix))

    def list_dir_entries(self, prefix: str) -> Iterator[tuple[str, Entry | None]]:
        """Like `list_dir`, with what the service lists of each key; ``None`` for a prefix.

        See `Store.list_dir_entries`.
        """
        return iterate(self._store.list_dir_entries(prefix))

    def is_empty(self, prefix: str) -> bool:
        """Whether there is no key under ``prefix/``. See `Store.is_empty`."""
        return run(self._store.is_empty(prefix))

    def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        """Sum of the sizes of all values under ``prefix/``, in bytes.

        See `Store.getsize_prefix`.
        """
        return run(self._store.getsize_prefix(prefix, **_given(fan_out=(fan_out, 1))))

    # -- What killed writers left --------------------------------------------------------------

    def list_leftovers(self, prefix: str = "") -> Iterator[Leftover]:
        """Yield what killed writers left under ``prefix/``; no listing of keys shows it.

        See `Store.list_leftovers`.
        """
        return iterate(self._store.list_leftovers(prefix))

    def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        """Remove what killed writers left under ``prefix/``, and return it.

        See `Store.remove_leftovers`. Leftovers younger than ``older_than`` seconds stay: they may
        belong to a write in progress.
        """
        return run(self._store.remove_leftovers(prefix, older_than=older_than))


def _given(**options: tuple[Any, Any]) -> dict[str, Any]:
    """The options that differ from their default; a store may lack the others."""
    return {name: value for name, (value, default) in options.items() if value != default}
