"""The transports of one event loop, and the state of their credentials and of their service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from ..._core.redaction import public_text
from ...errors import StorageOptionError
from .checksums import ChecksumError
from .features import Service, service_at
from .library import LibraryTransport
from .native import NativeTransport
from .responses import CORRUPT_BODY, are_credentials_rejected, error_code

if TYPE_CHECKING:
    from ..._http.credential_lookups import LookupRate
    from ..._http.retry_policy import RetryPolicy

__all__ = ["Transports"]


class Transports:
    """The transports of one s3fs filesystem on one event loop."""

    def __init__(
        self, fs: Any, policy: RetryPolicy, threads: int | None, rate: LookupRate | None = None
    ) -> None:
        self.fs = fs
        self.native = None if threads is None else NativeTransport(fs, policy, threads)
        self.library = LibraryTransport(fs, policy)
        self.service: Service | None = None
        #: Whether credentials were rejected, or not found.
        self.credentials_rejected = False
        #: Held by the one request that is repeated without an optional feature.
        self.feature_lock = asyncio.Lock()
        #: Optional features with error codes that are the same without the feature.
        self.other_causes: set[tuple[str, str | None]] = set()
        #: Limits repeated lookups of credentials; ``None`` if the user's options contain them.
        self._rate = rate
        self._service_lock = asyncio.Lock()

    def may_look_up(self) -> bool:
        """Whether a lookup of credentials that were rejected is allowed now; if so, count it."""
        return self._rate is not None and self._rate.take()

    async def find_service(self) -> Service:
        """The service at the endpoint of s3fs."""
        # Older releases of s3fs create a client for each concurrent first call.
        async with self._service_lock:
            if self.service is None:
                await self._open_session()
                meta = getattr(self.fs._s3, "meta", None)
                endpoint = getattr(meta, "endpoint_url", None)
                self.service = service_at(endpoint) if endpoint else Service("S3")
        return self.service

    async def _open_session(self) -> None:
        reason = None
        try:
            await self.fs.set_session()
        except (AttributeError, TypeError, ValueError) as error:
            reason = public_text(str(error))
        if reason is not None:
            # Not in the context of the exception, which may contain secrets.
            raise StorageOptionError(
                f"invalid storage option, or setting of the environment or profile: {reason}"
            )

    def translate(self, error: Exception) -> None:
        """Raise another exception for an error of s3fs that is misleading, or record its cause."""
        code = error_code(error)
        if code in CORRUPT_BODY:
            # Without the response, whose status is not retried.
            raise ChecksumError(f"{code}: {error}") from None
        if isinstance(error, FileNotFoundError | PermissionError) and not code:
            self.credentials_rejected = True
            # From a file or program that provides credentials. It is not about a key.
            raise botocore.exceptions.CredentialRetrievalError(
                provider="a file or program", error_msg=str(error)
            ) from error
        self.credentials_rejected = self.credentials_rejected or are_credentials_rejected(error)
