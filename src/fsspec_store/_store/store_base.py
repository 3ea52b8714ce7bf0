"""Opening and closing of stores, read-only mode, and capability flags.

The contract is a chain of classes, one module for each step: `StoreBase`, `ReadableStore`,
`ListableStore`, `WritableStore`, and `Store`, which adds the methods without ``await``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, Self

from ..errors import ReadOnlyError, UnsupportedOperationError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["StoreBase"]

#: Operations that the default implementations run at once.
_CONCURRENCY = 10


class StoreBase(ABC):
    """Opening, closing, modes and capability flags of a store.

    Parameters
    ----------
    read_only : bool, optional
        Reject writes and deletes.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._is_open = False

    @abstractmethod
    def __eq__(self, value: object) -> bool: ...

    # -- Opening and closing -------------------------------------------------------------------

    @classmethod
    async def open(cls, *args: Any, **kwargs: Any) -> Self:
        """Create a store and open it.

        Parameters
        ----------
        *args, **kwargs
            Arguments of the constructor.

        Returns
        -------
        Store
            Open. Opening it again raises ``ValueError``.
        """
        store = cls(*args, **kwargs)
        await store._open()
        return store

    async def _open(self) -> None:
        if self._is_open:
            raise ValueError("store is already open")
        self._is_open = True

    async def _ensure_open(self) -> None:
        if not self._is_open:
            try:
                await self._open()
            except ValueError:
                # Another thread may have opened it meanwhile.
                if not self._is_open:
                    raise

    def close(self) -> None:
        """Close the store and release its connections. Closing it again has no effect."""
        self._is_open = False

    async def aclose(self) -> None:
        """Like `close`, and wait until the connections are closed."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._ensure_open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    # -- Read-only mode ------------------------------------------------------------------------

    @property
    def read_only(self) -> bool:
        """Whether the store rejects writes and deletes."""
        return self._read_only

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store at the same location in the given mode. This store does not change.

        Parameters
        ----------
        read_only : bool, optional
            Whether the new store rejects writes and deletes. It does not by default.

        Returns
        -------
        Store
            Of the same class, not opened.

        Raises
        ------
        NotImplementedError
            When the class of the store does not implement it.
        """
        raise UnsupportedOperationError(
            f"with_read_only is not implemented for the {type(self)} store type."
        )

    def _check_writable(self) -> None:
        if self.read_only:
            raise ReadOnlyError("store was opened in read-only mode and does not support writing")

    # -- Capabilities --------------------------------------------------------------------------

    @property
    @abstractmethod
    def supports_writes(self) -> bool:
        """Whether the backend can write. It is true of a read-only store too."""

    @property
    @abstractmethod
    def supports_deletes(self) -> bool:
        """Whether the backend can delete. It is true of a read-only store too."""

    @property
    @abstractmethod
    def supports_listing(self) -> bool:
        """Whether the backend can list keys."""

    @property
    def supports_partial_writes(self) -> bool:
        """Whether `set_partial_values` works. It works wherever `set` does."""
        return self.supports_writes

    @property
    def supports_atomic_create(self) -> bool:
        """Whether exactly one of many concurrent `set_if_not_exists` calls writes the key.

        Some services ignore conditions. The flag turns false at the first use that shows it.
        """
        return False

    @property
    def supports_compare_and_swap(self) -> bool:
        """Whether `get_version` and ``set(..., if_match=...)`` work.

        Some services ignore conditions. The flag turns false at the first use that shows it.
        """
        return False

    @property
    def lists_in_order(self) -> bool:
        """Whether the service lists keys in the order of their UTF-8 bytes, as far as known.

        `list_entries` is in this order on every store. Where the flag is false, it sorts the
        entries before it yields the first one.
        """
        return False

    @property
    def supports_consolidated_metadata(self) -> bool:
        """Whether readers may keep consolidated metadata in this store."""
        return True

    def _require(
        self, *capabilities: Literal["writes", "deletes", "listing", "compare_and_swap"]
    ) -> None:
        """Raise `UnsupportedOperationError` unless the store has all these capabilities."""
        for capability in capabilities:
            if not getattr(self, f"supports_{capability}"):
                name = capability.replace("_", "-")
                raise UnsupportedOperationError(f"{self!r} does not support {name}")

    @property
    def _concurrency(self) -> int:
        """Operations that one call runs at once."""
        return _CONCURRENCY

    @property
    def reads_locally(self) -> bool:
        """Whether reads need no network, as on memory and local files."""
        return self._runs_in_place

    @property
    def _streams(self) -> bool:
        """Whether values of a known version are read, and written, in memory of a few parts."""
        return False

    @property
    def _versions_are_md5s(self) -> bool:
        """Whether versions in the form of an MD5, or of an MD5 of parts, are that of the value."""
        return False

    def prefix_in(self, other: StoreBase) -> str | None:
        """Return the prefix below which another store has the keys of this one.

        Parameters
        ----------
        other : Store
            Any store.

        Returns
        -------
        str or None
            ``""`` for two stores at one location, else a prefix that ends in ``/``. ``None`` when
            the other store does not have the keys of this one, as far as known: services, options
            and credentials are compared without a request.
        """
        return None

    @property
    def _runs_in_place(self) -> bool:
        """Whether an operation on one key runs without an event loop: it never awaits a socket."""
        return False
