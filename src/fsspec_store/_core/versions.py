"""Versions of values: ETags (RFC 9110, section 8.8.3), or digests where a backend has none."""

from __future__ import annotations

import hashlib
import re
from functools import partial

__all__ = ["content_version", "is_etag", "is_strong_etag", "version_digest"]

#: The digest of `content_version`, for bytes that are read in pieces.
version_digest = partial(hashlib.blake2b, digest_size=16)
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]+"')


def content_version(data: bytes | memoryview) -> str:
    """A digest as the version, for backends without versions: equal bytes have equal versions."""
    return version_digest(data).hexdigest()


def is_etag(version: str) -> bool:
    """Whether it is one ETag (RFC 9110, section 8.8.3), and not ``*`` or a list."""
    return _ETAG.fullmatch(version) is not None


def is_strong_etag(version: str) -> bool:
    """Whether it is a strong ETag: different values may have the same weak one."""
    return is_etag(version) and not version.startswith("W/")
