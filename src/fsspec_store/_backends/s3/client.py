"""The S3 client: sends requests with the native transport where it supports them, else with s3fs.

A request that the service rejects because of an optional feature is repeated without it. Requests
are retried, and limited with those of all clients of the service.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ..._core.redaction import hidden
from ..._http.hedging import HEAD
from ..._http.retrier import Budget, Retrier, Slot
from ..._runtime.loops import Shared, frozen
from .error_responses import UnexpectedResponseError
from .features import CHECKSUM_MODE, OPTIONAL, Service, may_be_unsupported
from .library import secrets_of
from .requests import GetObject, HeadObject, Request
from .responses import (
    OUT_OF_RANGE,
    PRECONDITION_FAILED,
    error_code,
    redact_signatures,
    retry_decision,
)
from .session import S3Filesystems, check_options, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fsspec import AbstractFileSystem

    from ..._http.hedging import Read
    from ..._http.settings import Settings
    from .native import Target
    from .transports import Transports

__all__ = ["Client"]

T = TypeVar("T")

#: Options of fsspec, which do not change the sessions.
_OF_FSSPEC = frozenset({"asynchronous", "loop", "skip_instance_cache", "use_listings_cache"})
#: Error codes of requests that the service understood.
_UNDERSTOOD = OUT_OF_RANGE | PRECONDITION_FAILED


class Client:
    """Sends requests with the settings of one user.

    Raises `StorageOptionError` when the filesystem was given an option it cannot use.
    """

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        policy, threads = settings.policy, settings.native_threads
        check_options(fs)
        options = {
            name: value for name, value in fs.storage_options.items() if name not in _OF_FSSPEC
        }
        # The variables that botocore reads: profiles, files, keys, endpoints.
        variables = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        user = (type(fs), frozen(fs.storage_args), frozen(options), frozen(variables))
        self._transports: Shared[Transports] = Shared(
            ("s3", *user, policy, threads), lambda: S3Filesystems(fs, policy, threads)
        )
        self.stats = settings.stats
        self._retrier = Retrier(
            f"s3 {endpoint_of(fs)}",
            policy,
            retry_decision,
            self.stats,
            memory_bytes=settings.read_memory_bytes,
            hedge=settings.hedge_share,
        )
        #: Whether the ETag of an upload in parts is the MD5 of the MD5s of its parts; ``None`` if
        #: it is unknown.
        self.has_composite_md5s: bool | None = None
        #: The transports of the last request, ``None`` before the first one.
        self._used: Transports | None = None

    @property
    def transports(self) -> Transports:
        """The transports of the running event loop."""
        return self._transports.get()

    @property
    def address(self) -> str | None:
        """The URL of the endpoint; ``None`` before the first request."""
        service = None if self._used is None else self._used.service
        return service.endpoint if service is not None and "://" in service.endpoint else None

    async def send(self, request: Request[T], budget: Budget | None = None) -> T:
        """Send a request until it succeeds, fails permanently, or the budget is used up."""
        read: Read | None = HEAD if isinstance(request, HeadObject) else None
        return await self.retry(partial(self.send_once, request), budget, read)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        budget: Budget | None = None,
        read: Read | None = None,
    ) -> T:
        """Await ``attempt()`` as `send` does."""
        if self._used is not None and self._used.credentials_rejected:
            self._replace_rejected()
        return await self._retrier.send(attempt, refresh=self.refresh, budget=budget, read=read)

    def slot(self) -> Slot:
        """A slot for a request whose body is read after the attempt."""
        if self._used is not None and self._used.credentials_rejected:
            self._replace_rejected()
        return Slot(self._retrier)

    async def refresh(self) -> None:
        """Look up expired credentials again, unless another request has done so."""
        transports = self._transports.get()
        if transports.credentials_rejected:
            self._transports.replace(transports)

    async def send_once(self, request: Request[T], *, without: frozenset[str] | None = None) -> T:
        """Send a request in one attempt, without these features or else the unsupported ones."""
        transports = self._transports.get()
        if transports is not self._used:
            # Requests of other clients may have been rejected.
            transports = self._used = self._replace_rejected()
        try:
            service = transports.service or await transports.find_service()
            unsupported = service.unsupported if without is None else without
            native, target = transports.native, None
            if native is not None:
                key = (request.bucket, request.method)
                known = native.targets
                target = known[key] if key in known else await native.discover(*key)
            try:
                if native is None or target is None:
                    return await transports.library.send(request, unsupported)
                self.stats.native += 1
                try:
                    result: T = await native.methods[request.method](target, request, unsupported)
                    return result
                except UnexpectedResponseError as reason:
                    return await self._fall_back(transports, target, request, unsupported, reason)
            except OSError as error:
                over_tls = service.endpoint.startswith("https:")
                is_optional = without is None and request.method in OPTIONAL
                if is_optional and may_be_unsupported(error, over_tls=over_tls):
                    return await self._send_without(transports, service, request, error)
                raise
        except Exception as error:
            transports.translate(error)
            raise

    async def service(self) -> Service:
        """The `Service`, with the features that it does not support."""
        transports = self._transports.get()
        try:
            return transports.service or await transports.find_service()
        except Exception as error:
            transports.translate(error)
            raise

    def secrets(self) -> set[str]:
        """The secrets that sign requests of the running loop."""
        try:
            transports = self._transports.get()
        except Exception:
            # No transports for these settings, or no running loop: no request was sent.
            return set()
        return secrets_of(transports.fs)

    def close(self) -> None:
        """Close the connections. Later requests open new ones."""
        self._transports.close()

    async def aclose(self) -> None:
        """Like `close`, and await the connections of the running loop."""
        await self._transports.aclose()

    def _replace_rejected(self) -> Transports:
        """The transports, with new credentials if an earlier operation's were rejected.

        Requests that wait while the credentials are rejected do not look them up again.
        """
        transports = self._transports.get()
        if transports.credentials_rejected and transports.may_look_up():
            self._transports.replace(transports)
            transports = self._transports.get()
        return transports

    async def _fall_back(
        self,
        transports: Transports,
        target: Target,
        request: Request[T],
        unsupported: frozenset[str],
        reason: UnexpectedResponseError,
    ) -> T:
        """Repeat a request with s3fs, in the same attempt, after an unexpected response."""
        self.stats.requests += 1
        # It is logged.
        reason.args = (redact_signatures(hidden(str(reason), secrets_of(transports.fs))),)
        native = transports.native
        assert native is not None
        try:
            result = await transports.library.send(request, unsupported)
        except FileNotFoundError:
            native.fell_back(request.bucket, request.method, target, reason)
            raise
        native.fell_back(request.bucket, request.method, target, reason)
        return result

    async def _send_without(
        self, transports: Transports, service: Service, request: Request[T], error: OSError
    ) -> T:
        """Repeat a rejected request without its optional feature, or raise its error.

        One request at a time tries this, and once for each error code: a wrong secret key causes no
        further requests.
        """
        feature, cause = OPTIONAL[request.method], error_code(error)
        if feature == CHECKSUM_MODE and isinstance(request, GetObject) and request.range:
            raise error
        async with transports.feature_lock:
            if feature not in service.unsupported:
                if (feature, cause) in transports.other_causes:
                    raise error
                self.stats.requests += 1
                try:
                    result = await self.send_once(request, without=service.unsupported | {feature})
                except OSError as again:
                    if isinstance(again, FileNotFoundError) or error_code(again) in _UNDERSTOOD:
                        service.mark_unsupported(feature, cause)
                    elif error_code(again) == cause:
                        transports.other_causes.add((feature, cause))
                    raise
                service.mark_unsupported(feature, cause)
                return result
        self.stats.requests += 1
        return await self.send_once(request, without=service.unsupported)
