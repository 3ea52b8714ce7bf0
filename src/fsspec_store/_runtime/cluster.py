"""Functions in tasks on a Dask cluster. Dask schedules them, and repeats those of lost workers."""

from __future__ import annotations

import asyncio
import concurrent.futures
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from .._core.redaction import public_text, public_url
from ..errors import BackendError, MissingExtraError, StoreError, StoreURLError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from distributed import Client

    from .shared_objects import Closable

__all__ = ["Cluster", "TaskError", "WorkersLostError", "connect"]

T = TypeVar("T")

#: Minimum number of tasks in flight: a cluster may have no workers yet, or start more.
_MIN_TASKS = 32


class TaskError(BackendError):
    """A task without result: workers cannot import what it needs, for example."""


class WorkersLostError(TaskError):
    """Several workers ended while they ran a task."""


class Cluster:
    """Runs coroutine functions on the workers of a cluster; see `connect`."""

    def __init__(self, client: Client, name: str, threads: int) -> None:
        self._client = client
        self._name = name
        #: Number of tasks that are to be in flight at once.
        self.tasks = max(_MIN_TASKS, 2 * threads)

    async def run(self, function: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        """Await a function on a worker: its arguments follow the shared objects.

        A function of a worker that is lost runs again on another one, so it must be repeatable.

        Raises
        ------
        StoreError
            Of the function.
        WorkersLostError
            When several workers ended while they ran it.
        TaskError
            For other errors.
        BackendError
            When the scheduler is lost.
        """
        from distributed import KilledWorker

        from .shared_objects import run_with_shared

        future = self._client.submit(
            run_with_shared,
            self._name,
            function,
            arguments,
            key=f"{function.__name__}-{uuid4().hex}",
        )
        try:
            result: T = await future
            return result
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            if future.status not in ("cancelled", "lost"):
                raise
        except StoreError:
            raise
        except Exception as error:
            kind = WorkersLostError if isinstance(error, KilledWorker) else TaskError
            raise kind(public_text(f"{type(error).__name__}: {error}")) from None
        finally:
            # A task that has not started is dropped.
            future.release()
        raise BackendError("the Dask scheduler is lost: a task was cancelled")


async def _connected(client: Client) -> None:
    try:
        await client
    except BaseException:
        # An open client keeps the process from its end.
        await client.close()
        raise


@asynccontextmanager
async def connect(
    client: Client | str | None, *objects: Closable
) -> AsyncGenerator[Cluster | None, None]:
    """Connect to a cluster, and give its workers copies of the objects; ``None`` without client.

    The connection is a separate one on the running event loop, so a client with any event loop may
    be given. At the end the workers close the objects.

    Raises
    ------
    MissingExtraError
        When Dask is not installed.
    StoreURLError
        When the address is invalid.
    BackendError
        When the scheduler cannot be reached.
    """
    if client is None:
        yield None
        return
    try:
        from distributed import Client

        from .shared_objects import RemovedWithClient, SharedObjects
    except ImportError as error:
        raise MissingExtraError(
            "a Dask cluster needs a library that is not installed: pip install 'fsspec-store[dask]'"
        ) from error
    if isinstance(client, str):
        address, security = client, None
    elif isinstance(client, Client) and client.scheduler is not None:
        address, security = client.scheduler.address, client.security
    else:
        raise TypeError(
            f"client must be a connected dask.distributed.Client or an address, got {client!r}"
        )
    connection = Client(address, security=security, asynchronous=True, set_as_default=False)
    try:
        await _connected(connection)
    except OSError as error:
        raise BackendError(
            f"cannot reach the Dask scheduler {public_url(address)}: {public_text(str(error))}"
        ) from error
    except ValueError as error:
        raise StoreURLError(
            f"invalid address of a Dask scheduler: {public_url(address)}"
        ) from error
    async with connection:
        name = f"fsspec-store-{uuid4().hex}"
        for plugin in (RemovedWithClient(connection.id, name), SharedObjects(objects)):
            try:
                await connection.register_plugin(plugin, name=name)
            except Exception as error:
                # The scheduler has another environment, or a worker ends at this moment.
                text = public_text(f"{type(error).__name__}: {error}")
                raise BackendError(f"cannot use the Dask cluster {address}: {text}") from None
        try:
            yield Cluster(connection, name, sum((await connection.nthreads()).values()))
        finally:
            # A worker that ends at this moment fails it, and no longer has the objects.
            with suppress(OSError, ValueError):
                if connection.status == "running":
                    await connection.unregister_worker_plugin(name)
