"""`BackendBase`: opening, closing, capabilities and errors of a store over a `Backend`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from .._core.redaction import PrivateURL
from ..errors import ReadOnlyError
from .contract import Store
from .error_translation import Action
from .keys import directory_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._backends.base import Backend

__all__ = ["BackendBase"]

#: Actions for which `missing_on_forbidden` treats a 403 as a missing key.
_READS = ("read", "look for")


class BackendBase(Store):
    """A store over a backend, under one root path. The options are those of `FsspecStore`.

    ``base`` precedes a key in its path: the root path and ``/``. ``url`` is the URL of the root
    without any secret, for messages.
    """

    def __init__(
        self,
        backend: Backend,
        base: str,
        url: str,
        *,
        read_only: bool,
        out_of_range: Literal["raise", "empty"],
        max_concurrency: int | None,
        missing_on_forbidden: bool,
        allow_racy_create: bool,
    ) -> None:
        super().__init__(read_only=read_only)
        if out_of_range not in ("raise", "empty"):
            raise ValueError(f"out_of_range must be 'raise' or 'empty', got {out_of_range!r}")
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency must be at least 1, got {max_concurrency!r}")
        self._backend = backend
        self._base = base
        self._url = url
        self._out_of_range = out_of_range
        self._max_concurrency = max_concurrency
        self._missing_on_forbidden = missing_on_forbidden
        self._allow_racy_create = allow_racy_create

    # -- Opening, closing, capabilities --------------------------------------------------------

    async def _open(self) -> None:
        """Open the store. On a web server this probes whether it lists keys."""
        await super()._open()
        await self._backend.discover(self._base)

    def close(self) -> None:
        super().close()
        self._backend.close()

    async def aclose(self) -> None:
        super().close()
        await self._backend.aclose()

    @property
    def supports_writes(self) -> bool:
        return self._backend.supports_writes

    @property
    def supports_deletes(self) -> bool:
        return self._backend.supports_deletes

    @property
    def supports_listing(self) -> bool:
        return self._backend.supports_listing

    @property
    def supports_atomic_create(self) -> bool:
        return self._backend.supports_atomic_create

    @property
    def _streams(self) -> bool:
        return self._backend.streams

    @property
    def _versions_are_md5s(self) -> bool:
        return self._backend.traits.versions_are_md5s

    @property
    def supports_compare_and_swap(self) -> bool:
        return self._backend.supports_replace

    @property
    def lists_in_order(self) -> bool:
        return self._backend.lists_in_order is True

    @property
    def _runs_in_place(self) -> bool:
        return self._backend.runs_in_place

    @property
    def _concurrency(self) -> int:
        return self._max_concurrency or self._backend.default_concurrency

    # -- What the operations share --------------------------------------------------------------

    def _directory(self, prefix: str) -> str:
        """The full path of a prefix, ending in ``/``. Also marks the store as open."""
        directory = directory_prefix(prefix)
        self._is_open = True
        path = self._base + directory
        return PrivateURL(path) if self._backend.has_secret_paths else path

    def _check_writable(self) -> None:
        if self._read_only:
            error = ReadOnlyError(
                "store was opened in read-only mode and does not support writing", url=self._url
            )
            error.add_note(f"the store is {self!r}")
            raise error

    def _missing_root(self) -> str:
        """Text for an error message if the root of the store does not exist, else ``""``."""
        return ""

    def _action(self, name: str, key: str) -> Action:
        may_be_missing = name in _READS and not self._missing_on_forbidden
        return Action(self._backend, name, key, self._url, may_be_missing)

    @contextmanager
    def _translating(self, name: str, key: str) -> Iterator[None]:
        """A context that raises this package's errors in place of the backend's."""
        handled = sys.exception()
        try:
            yield
        except BaseException as error:
            self._action(name, key).raise_translated(error, handled)
            raise
