"""Authorizes requests with the key of an account, or with a shared access signature. No I/O."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import BlobSasPermissions, generate_blob_sas

from ...errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Credential", "SharedAccessSignature", "SharedKey"]

#: Printable ASCII without the space and ``#``, which end a query.
_QUERY_CHARACTERS = re.compile(r'[!"$-~]*')

#: Headers whose values are signed, in this order ("Authorize with Shared Key").
_SIGNED_HEADERS = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)


class Credential:
    """Authorizes requests. This class adds no header and no signature."""

    #: Whether a rejected token can be replaced.
    can_refresh = False

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        """The ``Authorization`` header of a request, ``None`` without one."""
        return None

    def signature(self) -> str:
        """The shared access signature for the query of every URL, or ``""``."""
        return ""

    @property
    def token(self) -> object:
        """Identifies the current token, for `refresh`."""
        return None

    async def refresh(self, rejected: object) -> None:
        """Discard the rejected token, unless it was replaced already."""


class SharedAccessSignature(Credential):
    """A shared access signature, or an empty one for public data.

    The source is a query string, or an ``AzureSasCredential``, which may change it at any time.
    """

    def __init__(self, source: Any) -> None:
        self._source = _sas_query(source, StorageOptionError) if isinstance(source, str) else source

    def signature(self) -> str:
        if isinstance(self._source, str):
            return self._source
        return _sas_query(str(self._source.signature), ClientAuthenticationError)


def _sas_query(signature: str, error: type[Exception]) -> str:
    """A shared access signature without the ``?`` and line breaks of portals and files."""
    query = signature.strip().lstrip("?")
    if not _QUERY_CHARACTERS.fullmatch(query):
        # The message must not contain the secret.
        raise error(
            "the shared access signature has a character that is invalid in a URL: a space, a "
            "line break, '#', or a non-ASCII character"
        )
    return query


class SharedKey(Credential):
    """The name of an account, and its key in base64."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._text = key.strip()
        try:
            self._key = base64.b64decode(key.strip(), validate=True)
        except (binascii.Error, ValueError):
            # Not chained: a traceback may show the key.
            raise StorageOptionError("invalid account_key: not base 64") from None

    def read_signature(self, path: str, expiry: datetime) -> str:
        """A shared access signature that permits reads of one blob."""
        container, _, name = path.partition("/")
        return generate_blob_sas(
            self._account,
            container,
            name,
            account_key=self._text,
            permission=BlobSasPermissions(read=True),
            expiry=expiry,
        )

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        # "Authorize with Shared Key", versions since 2015-02-21.
        lines = [method, *(headers.get(name, "") for name in _SIGNED_HEADERS)]
        if lines[3] == "0":
            lines[3] = ""
        own = {name.lower(): name for name in headers if name.lower().startswith("x-ms-")}
        lines += [f"{lower}:{headers[name]}" for lower, name in sorted(own.items())]
        lines.append(f"/{self._account}{path}")
        if query:
            pairs = [part.partition("=") for part in query.split("&")]
            lines += sorted(f"{name.lower()}:{unquote(value)}" for name, _, value in pairs)
        digest = hmac.digest(self._key, "\n".join(lines).encode(), "sha256")
        return f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"
