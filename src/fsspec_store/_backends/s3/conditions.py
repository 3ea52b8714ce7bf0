"""Probes which conditional writes and copies an S3 service honours.

Amazon S3 honours both. Other services may reject the headers or ignore them, so each endpoint is
probed once per process with a temporary object: two creations of one key, of which the second has
to fail, and a replacement of a version that does not exist; before the first copy of one version, a
copy of a version that does not exist. The object is removed at once. If the process is killed
before, it is removed with the keys around it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..temporary_names import temporary_name
from .requests import CopyObject, DeleteObject, PutObject
from .responses import CONFLICT, PRECONDITION_FAILED, error_code

if TYPE_CHECKING:
    from ..cleanup import Cleanup
    from .client import Client

__all__ = ["Conditions", "conditions_of"]

#: Amazon S3 honours conditional writes (S3 User Guide, "Conditional requests").
_AMAZON = re.compile(r"https?://([^/]+\.)?amazonaws\.com(\.cn)?(:\d+)?/?")
_UNSUPPORTED = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest", "501", "400"})
#: Some services respond with these to ``If-Match`` for a missing object.
_MISSING = frozenset({"NoSuchKey", "404"})
#: Number of failed probes in a row after which a service is assumed to ignore a condition.
_PROBES = 3
_NO_VERSION = '"00000000000000000000000000000000"'


@dataclass
class Conditions:
    """The conditions that a service honours; ``None`` before the probe."""

    #: ``If-None-Match: *`` on a write.
    create: bool | None = None
    #: ``If-Match`` on a write.
    replace: bool | None = None
    #: ``x-amz-copy-source-if-match`` on a copy.
    copy: bool | None = None
    #: Concurrent writers share one probe.
    _locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=WeakKeyDictionary, repr=False
    )

    async def probe(
        self, client: Client, cleanup: Cleanup, endpoint: str, bucket: str, directory: str
    ) -> None:
        """Probe the service, unless the result is known."""
        async with self._lock():
            if self.create is not None:
                return
            if _AMAZON.fullmatch(endpoint):
                self.create = self.replace = True
                return
            for _ in range(_PROBES):
                key = directory + temporary_name()
                create, replace = await _probe(client, cleanup, bucket, key)
                if create is not False:
                    break
                # The condition was ignored, or the object was removed meanwhile, as by `clear`.
            self.create, self.replace = bool(create), bool(replace)

    async def probe_copies(
        self, client: Client, cleanup: Cleanup, endpoint: str, bucket: str, directory: str
    ) -> None:
        """Like `probe`, for the condition of copies."""
        async with self._lock():
            if self.copy is None:
                self.copy = _AMAZON.fullmatch(endpoint) is not None or await _probe_copies(
                    client, cleanup, bucket, directory
                )

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


async def _probe(
    client: Client, cleanup: Cleanup, bucket: str, key: str
) -> tuple[bool | None, bool | None]:
    """Whether each unmet condition makes a write fail; ``None`` where the service rejects it."""
    put = PutObject(bucket, key, memoryview(b""))

    async def is_honoured(request: PutObject) -> bool | None:
        try:
            await client.send(request)
        except OSError as error:
            code = error_code(error)
            if code in PRECONDITION_FAILED | CONFLICT | _MISSING:
                return True
            if code in _UNSUPPORTED:
                return None
            raise
        return False

    # Permission to write does not include permission to delete: errors are only logged.
    remove = partial(client.send, DeleteObject(bucket, key))
    try:
        # The first request creates the object, unless the header is rejected.
        creation = replace(put, if_none_match="*")
        honours_create = await is_honoured(creation)
        if honours_create is None:
            await client.send(put)
        else:
            honours_create = await is_honoured(creation)
        honours_replace = await is_honoured(replace(put, if_match=_NO_VERSION))
    except BaseException as error:
        await cleanup.run(remove, error)
        raise
    await cleanup.run(remove)
    return honours_create, honours_replace


async def _probe_copies(client: Client, cleanup: Cleanup, bucket: str, directory: str) -> bool:
    """Whether an unmet condition makes a copy fail."""
    source, target = directory + temporary_name(), directory + temporary_name()
    is_honoured = False

    async def remove() -> None:
        await client.send(DeleteObject(bucket, source))
        if not is_honoured:
            await client.send(DeleteObject(bucket, target))

    try:
        await client.send(PutObject(bucket, source, memoryview(b"")))
        try:
            await client.send(CopyObject(bucket, target, (bucket, source), _NO_VERSION))
        except OSError as error:
            is_honoured = error_code(error) in PRECONDITION_FAILED
            if not is_honoured and error_code(error) not in _UNSUPPORTED:
                raise
    except BaseException as error:
        await cleanup.run(remove, error)
        raise
    await cleanup.run(remove)
    return is_honoured


_known: dict[str, Conditions] = {}


def conditions_of(endpoint: str) -> Conditions:
    """The conditions of the service at an endpoint, shared by the process."""
    return _known.setdefault(endpoint, Conditions())
