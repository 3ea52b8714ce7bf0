"""Where a test's data are: a URL, the options that reach it, and stores opened there.

Knows how a user opens a store. Does not know which service it is, nor who reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fsspec_store.zarr import ZarrStore, open_store

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """A prefix that no other test uses."""

    url: str
    options: dict[str, Any] = field(repr=False)
    _opened: list[ZarrStore] = field(default_factory=list, repr=False)

    def open(self, below: str = "data.zarr", **more: Any) -> ZarrStore:
        """A store made anew, as another process would make it."""
        self._opened.append(open_store(f"{self.url}/{below}", self.options, **more))
        return self._opened[-1]

    @property
    def path(self) -> str:
        """Bucket and prefix, as filesystems spell them."""
        return self.url.partition("://")[2]

    def close(self) -> None:
        """Close every store that was opened here."""
        for store in self._opened:
            store.close()
