"""Digests that identify the service of a filesystem, for the names of cached copies.

The digest of a filesystem's arguments is the same in every process and distinguishes ``/zarr.json``
of two archives, or ``bucket/a`` of two endpoints. It excludes credentials, which may change.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from fsspec import AbstractFileSystem

from ..._core.urls import protocols

__all__ = ["digest_of", "identity_of"]

#: Arguments for credentials and behaviour, which do not select the service.
_NOT_IDENTITY = re.compile(
    r"key|secret|token|pass|pwd|cred|auth|headers|cookie|sas|session|connection_string"
    r"|^asynchronous$|^loop$|^skip_instance_cache$|^use_listings_cache$|^listings_expiry_time$"
    r"|^(get|create)_client$|^config_kwargs$|^retries$|^timeout$|_timeout$",
    re.IGNORECASE,
)


def digest_of(text: str, *, length: int = 16) -> str:
    """A hex digest of a text, for file names."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:length]


def identity_of(fs: AbstractFileSystem) -> str:
    """A digest of the service that a filesystem reads from."""
    return digest_of(repr(_described(fs)), length=64)


def _described(value: Any) -> Any:
    if isinstance(value, AbstractFileSystem):
        # Azure's account may be part of a connection string, which is excluded.
        account = vars(value).get("account_name")
        arguments = _described(value.storage_args), _described(value.storage_options)
        return protocols(value)[:1], account, *arguments
    if isinstance(value, dict):
        return sorted(
            (str(name), _described(each))
            for name, each in value.items()
            # A set of references is also a mapping: its names are keys.
            if not (str(name).isidentifier() and _NOT_IDENTITY.search(str(name)))
        )
    if isinstance(value, (list, tuple)):
        return [_described(each) for each in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    # A repr may contain an address, which differs between processes.
    return type(value).__qualname__
