"""Hash objects for checksums of whole values, by the fastest library that is installed. No I/O."""

from __future__ import annotations

import base64
import hashlib
import zlib
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ALGORITHMS",
    "Hash",
    "crc32",
    "crc32c_in_base64",
    "digests",
    "in_base64",
    "md5",
    "md5_in_base64",
]

_CRC32C_STEP_BYTES = 4 * 2**20


class Hash(Protocol):
    """The interface of the hash objects of ``hashlib``."""

    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _CRC:
    """A CRC with the interface of ``hashlib``, for a function of bytes and the previous value."""

    def __init__(self, function: Callable[[memoryview, int], int], size: int) -> None:
        self._function = function
        self._size = size
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def in_base64(digest: bytes) -> str:
    """A digest in base64, as in headers, XML and JSON."""
    return base64.b64encode(digest).decode()


def digests(stated: Mapping[str, str | None]) -> dict[str, bytes]:
    """Digests that a service states in base64, without those that are missing or invalid."""
    found = {}
    for name, text in stated.items():
        with suppress(ValueError):
            if text:
                found[name] = base64.b64decode(text, validate=True)
    return found


#: It detects corrupt transfers, and equal bytes. It is not used for security.
md5 = partial(hashlib.md5, usedforsecurity=False)


def md5_in_base64(data: bytes | memoryview) -> str:
    """The MD5 in base64."""
    return in_base64(md5(data).digest())


def crc32c_in_base64(data: memoryview) -> str | None:
    """The CRC-32C; ``None`` where no fast implementation is installed."""
    if "crc32c" not in ALGORITHMS:
        return None
    checksum = ALGORITHMS["crc32c"]()
    # In parts: google-crc32c holds the GIL.
    for start in range(0, len(data), _CRC32C_STEP_BYTES):
        checksum.update(data[start : start + _CRC32C_STEP_BYTES])
    return in_base64(checksum.digest())


def _installed(module: str, name: str) -> Any:
    """A function or constant of a library, ``None`` where either is missing."""
    try:
        return getattr(import_module(module), name, None)
    except ImportError:
        return None


def _google_crc32c(data: memoryview, value: int) -> int:
    # The library does not accept a memoryview. The array shares its memory.
    result: int = _google_extend(value, np.asarray(data))
    return result


#: zlib-ng uses SIMD instructions: 6 to 20 times as fast. It has no wheels for some processors.
crc32: Callable[..., int] = _installed("zlib_ng.zlib_ng", "crc32") or zlib.crc32
_google_extend = _installed("google_crc32c", "extend")
# The library's pure Python implementation is slower than any network.
_has_google = _installed("google_crc32c", "implementation") == "c"
#: awscrt is twice as fast as google-crc32c, which gcsfs requires.
_crc32c = _installed("awscrt.checksums", "crc32c") or (_google_crc32c if _has_google else None)
_crc64nvme = _installed("awscrt.checksums", "crc64nvme")

#: S3's names of algorithms, without the ones that no installed library computes.
ALGORITHMS: dict[str, Callable[[], Hash]] = {
    "crc32": partial(_CRC, crc32, 4),
    "sha256": hashlib.sha256,
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    **({"crc32c": partial(_CRC, _crc32c, 4)} if _crc32c else {}),
    **({"crc64nvme": partial(_CRC, _crc64nvme, 8)} if _crc64nvme else {}),
}
