"""Objects that all workers of a Dask cluster have, under a random name.

Tasks refer to them by the name. So the graph, the keys of tasks, and what Dask logs and shows of
them contain no pickled object, whose options may have secrets. Imported when a cluster is used.
"""

from __future__ import annotations

import pickle
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import cloudpickle
from distributed import SchedulerPlugin, WorkerPlugin, get_worker

from .._core.redaction import hidden, public_text, secret_options
from ..errors import StoreError
from .blocking import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

__all__ = ["Closable", "RemovedWithClient", "SharedObjects", "run_with_shared"]

T = TypeVar("T")


class Closable(Protocol):
    """An object that is closed when the workers no longer need it."""

    async def aclose(self) -> None:
        """Close it."""


class SharedObjects(WorkerPlugin):  # type: ignore[misc]
    """Holds objects on a worker, also on one that joins later.

    Parameters
    ----------
    objects : sequence of Closable
        They are pickled here, and unpickled by the first task on a worker.
    """

    def __init__(self, objects: Sequence[Closable]) -> None:
        self._pickled: bytes = cloudpickle.dumps(tuple(objects))

    def setup(self, worker: Any) -> None:
        """Called by the worker."""
        # Tasks run in several threads.
        self._lock = threading.Lock()
        self._objects: tuple[Closable, ...] | None = None

    def objects(self) -> tuple[Closable, ...]:
        """The objects of this worker."""
        with self._lock:
            if self._objects is None:
                self._objects = pickle.loads(self._pickled)
            return self._objects

    async def teardown(self, worker: Any) -> None:
        """Called by the worker at its end, or when the objects are no longer needed."""
        for each in self._objects or ():
            # Other objects are closed too, and the worker goes on.
            with suppress(Exception):
                await each.aclose()


class RemovedWithClient(SchedulerPlugin):  # type: ignore[misc]
    """Removes shared objects from a cluster whose client was killed or interrupted.

    Parameters
    ----------
    client : str
        Identifier of the client's connection.
    name : str
        Name of the objects.
    """

    def __init__(self, client: str, name: str) -> None:
        self._client = client
        self._name = name

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Called by the scheduler for every client that is gone."""
        if client != self._client:
            return
        scheduler.remove_plugin(name=self._name)
        if self._name in scheduler.worker_plugins:
            scheduler.loop.add_callback(scheduler.unregister_worker_plugin, None, self._name)


def run_with_shared(
    name: str, function: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]
) -> T:
    """Await ``function(*objects, *arguments)`` in a task, on fsspec's event loop.

    Dask logs an error with its text. So errors are raised without causes and without secrets.
    """
    objects: tuple[Any, ...] = ()
    try:
        objects = get_worker().plugins[name].objects()
        return run(function(*objects, *arguments))
    except StoreError as error:
        failure: Exception = error
    except Exception as error:
        filesystems = [getattr(each, "fs", None) for each in objects]
        secrets = secret_options({str(number): fs for number, fs in enumerate(filesystems)})
        failure = RuntimeError(hidden(public_text(f"{type(error).__name__}: {error}"), secrets))
    failure.__cause__ = failure.__context__ = None
    raise failure
