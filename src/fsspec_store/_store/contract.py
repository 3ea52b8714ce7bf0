"""`Store`: the asynchronous key/value contract of zarr-style array readers.

A **key** is a ``/``-separated relative path such as ``c/0/1`` or ``zarr.json``, a **value** is a
`Buffer`, and a **prototype** names the buffer class that a read returns.
"""

from __future__ import annotations

from .store_writing import WritableStore
from .sync import SyncStore

__all__ = ["Store"]


class Store(WritableStore):  # numpydoc ignore=PR02
    """An asynchronous map from keys to values.

    A store class implements `get`, `exists`, `set`, `delete`, `list_prefix`, `list_dir`, ``==`` and
    the flags `supports_writes`, `supports_deletes` and `supports_listing`. Every other method has a
    default that uses these.

    The first operation opens the store. Every write and delete on a read-only store raises
    `ReadOnlyError`. An operation that the store does not support, by its flags, raises
    `UnsupportedOperationError`. Both are raised before any I/O.

    Parameters
    ----------
    read_only : bool, optional
        Reject writes and deletes.
    """

    @property
    def sync(self) -> SyncStore:
        """The same methods without ``await``, for scripts, notebooks and threads.

        On memory and local files they run on the calling thread. On other backends they run on an
        event loop in another thread, so they also work while a loop is running, as in a notebook.
        Both kinds of methods may be used at the same time.
        """
        return SyncStore(self, in_place=self._runs_in_place)


# Without jedi, IPython evaluates no property to complete on its value. It reads the annotations of
# the class.
Store.__annotations__["sync"] = SyncStore
