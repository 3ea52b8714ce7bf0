"""A value or a part of it, checked: by its length, and by nothing having changed meanwhile.

The check costs requests, and is left out where a filesystem is known to send just what it is asked
for. Copies of a caching layer are not read here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..._core.byte_requests import RangeByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import is_out_of_range, resolve
from .errors import NO_FILE, is_forbidden
from .lookups import info_of, is_missing, size_in
from .references import is_referred
from .sftp import read_pipelined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.byte_requests import ByteRequest
    from .calls import Calls

__all__ = ["has_version", "read", "version_in"]

#: A value that changed while it was read is read again so often.
_TRIES = 5

#: What of `info_of` differs between two versions of a value, in any of the spellings there are.
_VERSION = re.compile(
    r"size|e[_-]?tag|[cm][_-]?time|created|updated|modif(y|ied)|modification[_-]?time"
    r"|((last|client|server)[_-]?)?modified|version([_-]?id)?|generation|rev|sha(1|256)?|hex|blob[_-]?id"
    r"|checksum|digest|content[_-]?hash|(content[_-]?)?md5([_-]?hash)?|crc(32c?)?|ino",
    re.IGNORECASE,
)


async def read(calls: Calls, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
    """The bytes a request names; ``None`` where there is no value.

    Raises
    ------
    RangeNotSatisfiableError
        When a range or offset starts at or past the end.
    OSError
        When the value changed each time it was read, or other bytes came than were asked for.
    """
    try:
        if calls.facts.pipelines:
            return await calls.run(read_pipelined, path, request)  # type: ignore[no-any-return]
        if request is None and not await is_referred(calls, path):
            return await calls.bytes_of(path)
        if isinstance(request, RangeByteRequest) and calls.facts.exact:
            data = await _read_exact(calls, path, request.start, request.end)
            if data is not None and len(data) == request.end - request.start:
                return data
        return await _read_checked(calls, path, request)
    except RangeNotSatisfiableError:
        raise
    except Exception as error:
        if await is_missing(calls, path, error):
            return None
        raise


async def _read_exact(calls: Calls, path: str, start: int, end: int) -> bytes | None:
    """Bytes of a value whose size is not known; ``None`` if the size has to be asked for."""
    try:
        return await calls.bytes_of(path, start=start, end=end)
    except NO_FILE:
        raise
    except Exception as error:
        if is_forbidden(error):
            raise
        # Past the end, most often, in words of its own; whatever else it was comes again.
        return None


async def _read_checked(
    calls: Calls, path: str, request: ByteRequest | None
) -> bytes | memoryview | None:
    """The size first, then those bytes, then that nothing changed in between."""
    problem = ""
    for _ in range(_TRIES):
        info = await info_of(calls, path)
        if info is None or info["type"] != "file":
            return None
        size = await size_in(calls, path, info)
        if is_out_of_range(request, size):
            raise RangeNotSatisfiableError(size)
        start, end = resolve(request, size)
        if start == end:
            return b""
        bounds = {} if (start, end) == (0, size) else {"start": start, "end": end}
        data = await calls.bytes_of(path, **bounds)
        if version_in(await info_of(calls, path)) != version_in(info):
            problem = f"{path!r} was changed each time it was read"
        elif len(data) == end - start:
            return data
        elif len(data) == size:
            # It does not know ranges.
            return memoryview(data)[start:end]
        elif len(data) == end - start + 1 and end < size:
            # It takes the end for the last byte, as swiftspec does.
            return memoryview(data)[:-1]
        else:
            problem = f"{len(data)} bytes came for bytes {start} to {end} of {path!r}"
    raise OSError(problem)


def version_in(info: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The entries of `info_of` that differ between versions of a value."""
    if info is None:
        return None
    return {name: str(value) for name, value in info.items() if _VERSION.fullmatch(name)}


def has_version(info: Mapping[str, Any]) -> bool:
    """Whether more than the size differs between versions of a value."""
    return any(
        name.lower() != "size" and value is not None and _VERSION.fullmatch(name)
        for name, value in info.items()
    )
