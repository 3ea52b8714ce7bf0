"""Opens a value of a filesystem as a stream of parts, if its info identifies the version.

A part is of the version whose info is the same before and after its request. Times and sizes may
be the same for two versions, so that a filesystem must state an ETag, a hash or the like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..._core.failures import ChangedWhileReadError, RangeNotSatisfiableError
from ..._core.streams import OpenValue
from .errors import NO_FILE
from .lookups import info_of, is_missing, is_size_known
from .reading import requested, version_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .methods import Methods

__all__ = ["open_in_parts"]

_PARTS_AHEAD = 2
#: Entries of an info that identify the bytes. A weak ETag does not (RFC 9110, section 8.8.1).
_IDENTITY = re.compile(
    r"e[_-]?tag|generation|version[_-]?id|sha(1|256)?|(content[_-]?)?md5([_-]?hash)?|crc32c",
    re.IGNORECASE,
)


async def open_in_parts(
    methods: Methods, path: str, start: int, part_bytes: int
) -> OpenValue | None:
    """Open a value without a version that `Backend.replace` takes.

    ``None`` if its parts cannot be read: it is missing, or the info does not identify its version.
    """
    quirks = methods.quirks
    if quirks.references or quirks.single_connection or quirks.serial:
        return None
    info = await info_of(methods, path)
    if info is None or info["type"] != "file" or info.get("size") is None:
        return None
    if not (is_size_known(methods, path) and _is_identified(info)):
        return None
    size, version = int(info["size"]), version_in(info)
    if start > size:
        raise RangeNotSatisfiableError(size)

    async def read(start: int, end: int) -> bytes | memoryview:
        try:
            data = await methods.bytes_of(path, start=start, end=end)
        except Exception as error:
            if isinstance(error, NO_FILE) and await is_missing(methods, path, error):
                raise ChangedWhileReadError from None
            raise
        if version_in(await info_of(methods, path)) != version:
            raise ChangedWhileReadError
        part = requested(data, start, end, size)
        if part is None:
            raise OSError(f"received {len(data)} bytes for bytes {start} to {end} of {path!r}")
        return part

    return OpenValue(size, read, part_bytes, parts_ahead=_PARTS_AHEAD)


def _is_identified(info: Mapping[str, Any]) -> bool:
    return any(
        value and _IDENTITY.fullmatch(name) and not str(value).startswith("W/")
        for name, value in info.items()
    )
