"""Awaitable calls of a filesystem's methods: in a thread or on its event loop, with retries.

`instances` selects the filesystem object. Results are not interpreted here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from ..._http.retry_policy import TRANSIENT, RetryPolicy
from ..._runtime.threads import in_thread
from .errors import is_broken
from .ftp import read_part
from .instances import SharedInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsspec import AbstractFileSystem


__all__ = ["Methods"]


class Methods:
    """The methods of one filesystem; with ``blocking`` always its blocking methods."""

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, *, blocking: bool) -> None:
        self._shared = SharedInstance.of(fs, policy.timeout, blocking)
        self._policy = policy
        #: The user's filesystem, to be inspected; calls may use another instance.
        self.fs = fs
        self.quirks = self._shared.quirks

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method by the name of its blocking variant."""
        if self._shared.blocking:
            return await self.run(lambda fs: getattr(fs, method)(*args, **kwargs))
        fs = self._shared.instance()
        call = getattr(fs, "_" + method)(*args, **kwargs)
        if fs.asynchronous:
            return await call
        # Its session is bound to fsspec's loop; callers may be on any loop.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, fs.loop))

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function(fs, ...)`` in a thread; retry on a new connection if one broke."""
        began = time.monotonic()
        retry = 0
        while True:
            try:
                return await in_thread(self._shared.run, function, *args, **kwargs)
            except Exception as error:
                if not (self.quirks.single_connection and is_broken(error)):
                    raise
                self._shared.release()
                retry += 1
                wait = self._policy.wait_before(retry, TRANSIENT, time.monotonic() - began)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def bytes_of(self, path: str, **bounds: int) -> bytes:
        """The bytes of a value, all or from ``start`` to ``end``, unchecked."""
        if self.quirks.ftp and bounds:
            return await self.run(read_part, path, **bounds)  # type: ignore[no-any-return]
        return await self.call("cat_file", path, **bounds)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Release the connection, if there is one; the next call opens another."""
        self._shared.release()
