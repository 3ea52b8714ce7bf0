"""Versions of values: ETags (RFC 9110, section 8.8.3), and digests where a backend has none."""

from __future__ import annotations

import hashlib
import re

__all__ = ["content_version", "is_etag", "is_strong_etag"]

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]+"')


def content_version(data: bytes | memoryview) -> str:
    """A version for backends that keep none: equal bytes are the same version."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def is_etag(version: str) -> bool:
    """Whether it names one version of an object (RFC 9110, section 8.8.3), and not any or none."""
    return _ETAG.fullmatch(version) is not None


def is_strong_etag(version: str) -> bool:
    """Whether a version is a strong ETag: values that differ may share a weak one."""
    return is_etag(version) and not version.startswith("W/")
