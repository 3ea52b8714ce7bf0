"""Which conditional writes a service that speaks S3 really honours.

Amazon's own does. Others may refuse the headers, or take them and do as they please, so each is
asked once for a process, with an object of its own: two creations of one key, of which the second
has to fail, and a replacement of a version that never was. The object is removed at once. One
that a killed process left is removed with the keys around it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..temporary import temporary_name
from .responses import CONFLICT, PRECONDITION_FAILED, error_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..cleanup import Cleanup

__all__ = ["Conditions", "conditions_of"]

#: Amazon S3 honours conditional writes (S3 User Guide, "Conditional requests").
_AMAZON = re.compile(r"https?://([^/]+\.)?amazonaws\.com(\.cn)?(:\d+)?/?")
_REFUSED = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest", "501", "400"})
#: An object that is not there was not replaced either.
_MISSING = frozenset({"NoSuchKey", "404"})
#: So many in a row have to fail before a service is said to ignore a condition.
_PROBES = 3
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
        cleanup: Cleanup,
        endpoint: str,
        bucket: str,
        directory: str,
    ) -> None:
        """Ask the service, unless it was asked before.

        Parameters
        ----------
        call : callable
            ``await call(method, **params)`` sends a request, again where it failed in passing.
        cleanup : Cleanup
            Takes the removal of the object.
        endpoint : str
            The service's URL.
        bucket, directory : str
            Where an object may be written for a moment.
        """
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            if self.create is None:
                await self._ask(call, cleanup, endpoint, bucket, directory)

    async def _ask(
        self,
        call: Callable[..., Awaitable[dict[str, Any]]],
        cleanup: Cleanup,
        endpoint: str,
        bucket: str,
        directory: str,
    ) -> None:
        if _AMAZON.fullmatch(endpoint):
            self.create = self.replace = True
            return
        for _ in range(_PROBES):
            target = {"Bucket": bucket, "Key": directory + temporary_name()}
            create, replace = await _probe(call, cleanup, target)
            if create is not False:
                break
            # Either it was ignored, or the object was removed meanwhile, as `clear` does.
        self.create, self.replace = bool(create), bool(replace)


async def _probe(
    call: Callable[..., Awaitable[dict[str, Any]]], cleanup: Cleanup, target: Mapping[str, str]
) -> tuple[bool | None, bool | None]:
    """Whether each condition stops a write if it is not met; ``None`` where it is refused."""

    async def is_stopped(**condition: str) -> bool | None:
        try:
            await call("put_object", **target, Body=b"", **condition)
        except OSError as error:
            code = error_code(error)
            if code in PRECONDITION_FAILED | CONFLICT | _MISSING:
                return True
            if code in _REFUSED:
                return None
            raise
        return False

    try:
        # The first of them makes the object, unless the header is refused.
        create = await is_stopped(IfNoneMatch="*")
        if create is None:
            await call("put_object", **target, Body=b"")
        else:
            create = await is_stopped(IfNoneMatch="*")
        replace = await is_stopped(IfMatch=_NO_VERSION)
    except BaseException as error:
        await cleanup.run(partial(_remove, call, target), error)
        raise
    await cleanup.run(partial(_remove, call, target))
    return create, replace


async def _remove(
    call: Callable[..., Awaitable[dict[str, Any]]], target: Mapping[str, str]
) -> None:
    # Whoever may write need not be allowed to delete: what is raised here is only logged.
    await call("delete_object", **target)


_known: dict[str, Conditions] = {}


def conditions_of(endpoint: str) -> Conditions:
    """What this process knows of the service at an endpoint."""
    return _known.setdefault(endpoint, Conditions())
