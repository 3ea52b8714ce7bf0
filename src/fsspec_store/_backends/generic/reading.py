"""Reads of values and ranges, checked for their length and for changes while they are read.

The check needs further requests. It is skipped for filesystems that are known to return exactly the
requested bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..._core.byte_requests import ByteRequest, RangeByteRequest
from ..._core.failures import RangeNotSatisfiableError
from ..._core.ranges import bounds
from .errors import NO_FILE, is_forbidden
from .lookups import info_of, is_missing, is_reference, size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .methods import Methods

__all__ = ["has_version", "read", "requested", "version_in"]

#: Maximum number of attempts if the value changes while it is read.
_ATTEMPTS = 5
#: Maximum bytes per request of paramiko.
_CHUNK = 1 << 15

#: Names of entries of `info_of` that differ between versions of a value.
_VERSION = re.compile(
    r"size|e[_-]?tag|[cm][_-]?time|created|updated|modif(y|ied)|modification[_-]?time"
    r"|((last|client|server)[_-]?)?modified|version([_-]?id)?|generation|rev|sha(1|256)?|hex|blob[_-]?id"
    r"|checksum|digest|content[_-]?hash|(content[_-]?)?md5([_-]?hash)?|crc(32c?)?|ino",
    re.IGNORECASE,
)


async def read(
    methods: Methods, path: str, request: ByteRequest | None
) -> bytes | memoryview | None:
    """Read a value or a part of it, as `Backend.read`.

    Raises ``OSError`` when the value changed on each try, or the result has a wrong length.
    """
    try:
        if methods.quirks.pipelined:
            return await methods.run(_read_pipelined, path, request)  # type: ignore[no-any-return]
        if request is None and not await is_reference(methods, path):
            return await methods.bytes_of(path)
        if isinstance(request, RangeByteRequest) and methods.quirks.exact_ranges:
            data = await _read_exact(methods, path, request.start, request.end)
            if data is not None and len(data) == request.end - request.start:
                return data
        return await _read_checked(methods, path, request)
    except RangeNotSatisfiableError:
        raise
    except Exception as error:
        if await is_missing(methods, path, error):
            return None
        raise


def _read_pipelined(fs: Any, path: str, request: ByteRequest | None) -> bytes:
    """Read a part of a file: all requests are sent before the first response arrives."""
    for _ in range(_ATTEMPTS):
        with fs.open(path, "rb") as file:
            size = file.stat().st_size
            start, end = bounds(request, size)
            if start == end:
                return b""
            # Split here: for longer ranges paramiko's own splitting takes quadratic time.
            offsets = range(start, end, _CHUNK)
            data = b"".join(file.readv([(at, min(_CHUNK, end - at)) for at in offsets]))
        if len(data) == end - start:
            return data
    raise OSError(f"received {len(data)} bytes for bytes {start} to {end} of {path!r}")


async def _read_exact(methods: Methods, path: str, start: int, end: int) -> bytes | None:
    """Bytes of a value of unknown size; ``None`` if the size must be requested first."""
    try:
        return await methods.bytes_of(path, start=start, end=end)
    except NO_FILE:
        raise
    except Exception as error:
        if is_forbidden(error):
            raise
        # Usually a range past the end. The checked read raises any other error again.
        return None


async def _read_checked(
    methods: Methods, path: str, request: ByteRequest | None
) -> bytes | memoryview | None:
    """Read the size, the bytes, and the version before and after."""
    problem = ""
    for _ in range(_ATTEMPTS):
        info = await info_of(methods, path)
        if info is None or info["type"] != "file":
            return None
        size = await size_of(methods, path, info)
        start, end = bounds(request, size)
        if start == end:
            return b""
        part = {} if (start, end) == (0, size) else {"start": start, "end": end}
        data = await methods.bytes_of(path, **part)
        if version_in(await info_of(methods, path)) != version_in(info):
            problem = f"{path!r} was changed each time it was read"
            continue
        result = requested(data, start, end, size)
        if result is not None:
            return result
        problem = f"received {len(data)} bytes for bytes {start} to {end} of {path!r}"
    raise OSError(problem)


def requested(data: bytes, start: int, end: int, size: int) -> bytes | memoryview | None:
    """The requested bytes of those that a filesystem returned; ``None`` if they are not in it."""
    if len(data) == end - start:
        return data
    if len(data) == size:
        # The filesystem ignores ranges.
        return memoryview(data)[start:end]
    if len(data) == end - start + 1 and end < size:
        # The filesystem includes the end, as swiftspec does.
        return memoryview(data)[:-1]
    return None


def version_in(info: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The entries of `info_of` that differ between versions of a value."""
    if info is None:
        return None
    return {name: str(value) for name, value in info.items() if _VERSION.fullmatch(name)}


def has_version(info: Mapping[str, Any]) -> bool:
    """Whether the info has a version other than the size."""
    return any(
        name.lower() != "size" and value is not None and _VERSION.fullmatch(name)
        for name, value in info.items()
    )
