"""A filesystem's methods, awaited: in a thread or on its own loop; again if a connection broke.

Knows loops, threads and the policy of retries. Which object is called is known to `instances`; what
an answer means is not known here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from ..._http.retry_policy import TRANSIENT
from ..._runtime.threads import in_thread
from .errors import is_broken
from .ftp import read_part
from .instances import Access

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsspec import AbstractFileSystem

    from ..._http.retry_policy import RetryPolicy

__all__ = ["Calls"]


class Calls:
    """Calls of one filesystem.

    Parameters
    ----------
    fs : AbstractFileSystem
        The user's.
    policy : RetryPolicy
        How long a connection waits, and how often another one is tried.
    blocking : bool
        Use its blocking methods in any case.

    Attributes
    ----------
    fs : AbstractFileSystem
        The user's, to be looked at; calls may go to another instance.
    facts : Facts
        What it is like.
    """

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, *, blocking: bool) -> None:
        self._access = Access.of(fs, policy.timeout, blocking)
        self._policy = policy
        self.fs = fs
        self.facts = self._access.facts

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of its methods, by the name of the blocking one."""
        if self._access.blocking:
            return await self.run(_call_method, method, *args, **kwargs)
        fs = self._access.instance()
        call = getattr(fs, "_" + method)(*args, **kwargs)
        if fs.asynchronous:
            return await call
        # Its session lives on fsspec's own loop, where it works whichever loop asks.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, fs.loop))

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """``function(fs, ...)`` in a thread; again on a new connection if one broke."""
        began = time.monotonic()
        retry = 0
        while True:
            try:
                return await in_thread(self._access.run, function, *args, **kwargs)
            except Exception as error:
                if not (self.facts.connected and is_broken(error)):
                    raise
                self._access.release()
                retry += 1
                wait = self._policy.wait_before(retry, TRANSIENT, time.monotonic() - began)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def bytes_of(self, path: str, **bounds: int) -> bytes:
        """The bytes of a value, all or from ``start`` to ``end``, as they came."""
        if self.facts.ftp and bounds:
            return await self.run(read_part, path, **bounds)  # type: ignore[no-any-return]
        return await self.call("cat_file", path, **bounds)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Let go of a connection, if there is one; the next call makes another."""
        self._access.release()


def _call_method(fs: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(fs, method)(*args, **kwargs)
