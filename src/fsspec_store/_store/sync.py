"""`SyncStore`: the methods of a store for callers that do not await.

Each method runs the asynchronous method of the same name to its end. On memory and local files it
runs on the calling thread, elsewhere on fsspec's event loop in another thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from .._core.leftovers import ABANDONED_AFTER
from .._runtime.blocking import iterate, run
from .._runtime.threads import run_in_place
from .range_reads import MAX_COALESCED_BYTES, MAX_GAP_BYTES

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Sequence

    from .._core.byte_requests import ByteRequest
    from .._core.leftovers import Leftover, Leftovers
    from .buffer import Buffer, BufferPrototype
    from .store_reading import Values, Versioned
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
        """Read a value, or a part of it; ``None`` when the key is missing.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.
        byte_range : ByteRequest, optional
            `RangeByteRequest`, `OffsetByteRequest` or `SuffixByteRequest`. The default is all
            bytes.

        Returns
        -------
        Buffer or None
            ``None`` only when the key is missing.

        Raises
        ------
        ByteRangeError
            When a range is empty, or starts at or past the end of the value.
        """
        return self._run_one(self._store.get(key, prototype, byte_range))

    def get_version(self, key: str, prototype: BufferPrototype | None = None) -> Versioned | None:
        """Read a value with its version, for ``set(..., if_match=version)``.

        Parameters
        ----------
        key : str
            The key.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.

        Returns
        -------
        Versioned or None
            The value and its version, ``None`` when the key is missing.

        Raises
        ------
        UnsupportedOperationError
            When the store's ``supports_compare_and_swap`` is false.
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

        Parameters
        ----------
        prototype : BufferPrototype or None
            The buffer class to return. ``None`` is the store's own.
        key_ranges : iterable of (str, ByteRequest or None)
            Keys and the bytes to read. A key may repeat.
        max_gap_bytes : int, optional
            Ranges with at most this many bytes between them are fetched together.
        max_coalesced_bytes : int, optional
            Maximum size of a merged fetch, in bytes.

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

        Parameters
        ----------
        key : str
            The key.
        byte_ranges : sequence of ByteRequest or None
            Parts of the value, in any order. They may overlap or repeat.
        prototype : BufferPrototype, optional
            The buffer class to return. The default is the store's own.
        max_concurrency : int, optional
            Fetches that run at once, ``>= 1``. The default is the store's own limit.
        max_gap_bytes : int, optional
            Ranges with at most this many bytes between them are fetched together.
        max_coalesced_bytes : int, optional
            Maximum size of a merged fetch, in bytes.

        Yields
        ------
        sequence of (int, Buffer)
            For each fetch, in completion order: indexes into ``byte_ranges``, and their bytes.

        Raises
        ------
        ExceptionGroup
            Of the errors of the fetches; of ``FileNotFoundError`` when the key is missing.
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

    def exists(self, key: str) -> bool:
        """Whether the key has a value. A prefix of other keys is no key.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        bool
            False only when the key is missing. A failed request raises.
        """
        return self._run_one(self._store.exists(key))

    def getsize(self, key: str) -> int:
        """Size of a value in bytes; ``FileNotFoundError`` when the key is missing.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        int
            In bytes, ``>= 0``.

        Raises
        ------
        FileNotFoundError
            When the key is missing.
        """
        return self._run_one(self._store.getsize(key))

    # -- Writing and deleting ------------------------------------------------------------------

    def set(self, key: str, value: Buffer, *, if_match: str | None = None) -> None:
        """Replace the whole value. Readers see the old value or the new one, never a mixture.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.
        if_match : str, optional
            Write only when the key still has this version, as `get_version` returned it.

        Raises
        ------
        VersionMismatchError
            When the key is missing or has another version than ``if_match``. Nothing is written.
        """
        self._run_one(self._store.set(key, value, **_given(if_match=(if_match, None))))

    def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write the value if the key is missing. An existing value stays as it is.

        Parameters
        ----------
        key : str
            The key.
        value : Buffer
            The value. Wrap bytes with `Buffer.from_bytes`.

        Raises
        ------
        UnsupportedOperationError
            When the backend cannot create atomically, and the store allows no race.
        """
        self._run_one(self._store.set_if_not_exists(key, value))

    def set_partial_values(self, key_start_values: Iterable[tuple[str, int, Any]]) -> None:
        """Overwrite parts of values. The other bytes of each value stay as they are.

        Parameters
        ----------
        key_start_values : iterable of (str, int, bytes-like or Buffer)
            Key, first byte and new bytes of each part. A gap between the end of the value and the
            part is filled with zeros. A missing key is created.

        Raises
        ------
        ValueError
            When two parts of one key overlap, or a start is negative. Nothing is written.
        """
        run(self._store.set_partial_values(key_start_values))

    def delete(self, key: str) -> None:
        """Delete a key. A missing key is no error. Keys under ``key/`` are not deleted.

        Parameters
        ----------
        key : str
            The key.
        """
        self._run_one(self._store.delete(key))

    def delete_dir(self, prefix: str) -> None:
        """Delete every key under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same, and do not match ``foo-bar/...``; ``""`` is the root.
        """
        run(self._store.delete_dir(prefix))

    def clear(self) -> None:
        """Delete every key of the store. The bucket or folder at its root stays."""
        run(self._store.clear())

    # -- Listing -------------------------------------------------------------------------------

    def list(self) -> Iterator[str]:
        """Yield every key, relative to the store's root, in no guaranteed order."""
        return iterate(self._store.list())

    def list_prefix(self, prefix: str, *, fan_out: int = 1) -> Iterator[str]:
        """Yield every key that starts with the string ``prefix``.

        Parameters
        ----------
        prefix : str
            ``""``, or the beginning of a key: ``fo`` is one of ``foo`` and of ``foo/a``.
        fan_out : int, optional
            Number of common prefixes to list at once, ``>= 1``. It pays off for very many keys
            under several prefixes of a distant service.

        Yields
        ------
        str
            Relative to the store's root.
        """
        return iterate(self._store.list_prefix(prefix, **_given(fan_out=(fan_out, 1))))

    def list_sizes(self, prefix: str = "", *, fan_out: int = 1) -> Iterator[tuple[str, int | None]]:
        """Yield every key that starts with the string ``prefix``, with the size of its value.

        Parameters
        ----------
        prefix : str, optional
            ``""``, or the beginning of a key.
        fan_out : int, optional
            Number of common prefixes to list at once, ``>= 1``.

        Yields
        ------
        key : str
            Relative to the store's root.
        size : int or None
            In bytes. ``None`` when the backend lists the key without its size.
        """
        return iterate(self._store.list_sizes(prefix, fan_out=fan_out))

    def list_dir(self, prefix: str) -> Iterator[str]:
        """Yield the names of keys and prefixes directly under ``prefix/``.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.

        Yields
        ------
        str
            Relative to ``prefix/``, without a trailing ``/``.
        """
        return iterate(self._store.list_dir(prefix))

    def is_empty(self, prefix: str) -> bool:
        """Whether there is no key under ``prefix/``. Reads at most one page of the listing.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.

        Returns
        -------
        bool
            True also when ``prefix`` itself is a key, and no key is under ``prefix/``.
        """
        return run(self._store.is_empty(prefix))

    def getsize_prefix(self, prefix: str, *, fan_out: int = 1) -> int:
        """Sum of the sizes of all values under ``prefix/``, in bytes.

        Parameters
        ----------
        prefix : str
            ``foo`` and ``foo/`` are the same; ``""`` is the root.
        fan_out : int, optional
            Number of common prefixes to list at once, ``>= 1``.

        Returns
        -------
        int
            In bytes, ``>= 0``.
        """
        return run(self._store.getsize_prefix(prefix, **_given(fan_out=(fan_out, 1))))

    # -- What killed writers left --------------------------------------------------------------

    def list_leftovers(self, prefix: str = "") -> Iterator[Leftover]:
        """Yield what killed writers left under ``prefix/``; no listing of keys shows it.

        Parameters
        ----------
        prefix : str, optional
            ``foo`` and ``foo/`` are the same. The default is the whole store.

        Yields
        ------
        Leftover
            Its kind, location and age. A write that is under way now is listed too.
        """
        return iterate(self._store.list_leftovers(prefix))

    def remove_leftovers(
        self, prefix: str = "", *, older_than: float = ABANDONED_AFTER
    ) -> Leftovers:
        """Remove what killed writers left under ``prefix/``, and return it.

        Parameters
        ----------
        prefix : str, optional
            ``foo`` and ``foo/`` are the same. The default is the whole store.
        older_than : float, optional
            Minimum age in seconds: the time since it was begun or written last. Younger ones may
            belong to a write that is under way. ``0`` removes those as well.

        Returns
        -------
        list of Leftover
            What was removed.
        """
        return run(self._store.remove_leftovers(prefix, older_than=older_than))


def _given(**options: tuple[Any, Any]) -> dict[str, Any]:
    """The options that differ from their default; a store may lack the others."""
    return {name: value for name, (value, default) in options.items() if value != default}
