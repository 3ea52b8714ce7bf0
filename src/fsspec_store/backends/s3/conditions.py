"""Which conditional writes a service that speaks S3 really honours.

Amazon's own does. Others may refuse the headers, or take them and do as they please, so each is
asked once for a process, with an object of its own: two creations of one key, of which the second
has to fail, and a replacement of a version that never was.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..temporary import temporary_name
from .answers import CONFLICT, PRECONDITION_FAILED, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Conditions", "conditions_of"]

#: Amazon S3 honours conditional writes (S3 User Guide, "Conditional requests").
_AMAZON = re.compile(r"https?://([^/]+\.)?amazonaws\.com(\.cn)?(:\d+)?/?")
_REFUSED = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest", "501", "400"})
_NO_VERSION = '"00000000000000000000000000000000"'


@dataclass
class Conditions:
    """What a service honours; ``None`` as long as nobody asked.

    Attributes
    ----------
    create : bool or None
        ``If-None-Match: *`` on a write.
    replace : bool or None
        ``If-Match`` on a write.
    """

    create: bool | None = None
    replace: bool | None = None
    #: Many writers at once ask once.
    _locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=WeakKeyDictionary, repr=False
    )

    async def find_out(
        self,
        call: Callable[..., Awaitable[dict[str, Any]]],
        endpoint: str,
        bucket: str,
        directory: str,
    ) -> None:
        """Ask the service, unless it was asked before.

        Parameters
        ----------
        call : callable
            ``await call(method, **params)`` sends a request, again where it failed in passing.
        endpoint : str
            The service's URL.
        bucket, directory : str
            Where an object may be written for a moment.
        """
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            if self.create is None:
                await self._ask(call, endpoint, bucket, directory)

    async def _ask(
        self,
        call: Callable[..., Awaitable[dict[str, Any]]],
        endpoint: str,
        bucket: str,
        directory: str,
    ) -> None:
        if _AMAZON.fullmatch(endpoint):
            self.create = self.replace = True
            return
        key = directory + temporary_name()
        target = {"Bucket": bucket, "Key": key}

        async def is_refused(**condition: str) -> bool | None:
            """Whether a condition that is not met stops a write; ``None`` where it is unknown."""
            try:
                await call("put_object", **target, Body=b"", **condition)
            except OSError as error:
                code = error_code(error)
                if code in PRECONDITION_FAILED | CONFLICT:
                    return True
                if code in _REFUSED:
                    return None
                raise
            return False

        try:
            await call("put_object", **target, Body=b"")
            create = await is_refused(IfNoneMatch="*")
            replace = await is_refused(IfMatch=_NO_VERSION)
        finally:
            await asyncio.shield(_remove(call, target))
        self.create, self.replace = bool(create), bool(replace)


async def _remove(call: Callable[..., Awaitable[dict[str, Any]]], target: dict[str, str]) -> None:
    try:
        await call("delete_object", **target)
    except Exception:
        # Whoever may write need not be allowed to delete.
        pass


_known: dict[str, Conditions] = {}


def conditions_of(endpoint: str) -> Conditions:
    """What this process knows of the service at an endpoint."""
    return _known.setdefault(endpoint, Conditions())
