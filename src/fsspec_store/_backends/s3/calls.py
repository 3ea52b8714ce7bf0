"""S3's calls by the transports of the running loop: one attempt, or until one succeeds.

Knows which settings make other sessions, and nothing of what the calls are for.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..._http.limiter import MAX_IN_FLIGHT
from ..._http.retrier import Retrier, Slot
from ..._runtime.loops import Shared, frozen
from .responses import retry_decision
from .session import S3Filesystems, check_options, endpoint_of
from .transports import secrets_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fsspec import AbstractFileSystem

    from ..._http.settings import Settings
    from .features import Service
    from .transports import Transports

__all__ = ["Calls"]

T = TypeVar("T")

#: Options that make no other sessions.
_OF_FSSPEC = frozenset({"asynchronous", "loop", "skip_instance_cache", "use_listings_cache"})


class Calls:
    """Calls by one user's settings.

    Parameters
    ----------
    fs : S3FileSystem
        As the user configured it.
    settings : Settings
        The store's options for requests.

    Raises
    ------
    StorageOptionError
        When the filesystem was given an option it cannot use.
    """

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        policy, is_native = settings.policy, settings.is_native
        check_options(fs)
        options = {
            name: value for name, value in fs.storage_options.items() if name not in _OF_FSSPEC
        }
        user = (type(fs), frozen(fs.storage_args), frozen(options), frozen(_settings()))
        self._transports: Shared[Transports] = Shared(
            ("s3", *user, policy, is_native),
            lambda: S3Filesystems(fs, policy, is_native=is_native, max_connections=MAX_IN_FLIGHT),
        )
        self.stats = settings.stats
        self._retrier = Retrier(f"s3 {endpoint_of(fs)}", policy, retry_decision, self.stats)
        #: A slot for a call whose body is read after its attempt; to be entered.
        self.slot = partial(Slot, self._retrier)

    @property
    def transports(self) -> Transports:
        """The running loop's own."""
        return self._transports.get()

    async def send(
        self, attempt: Callable[[Transports], Awaitable[T]], slot: Slot | None = None
    ) -> T:
        """Await ``attempt(transports)`` until it succeeds or fails for good; see `Slot.send`.

        Parameters
        ----------
        attempt : callable
            Sends calls by the running loop's transports.
        slot : Slot, optional
            For an attempt that leaves a body to be read.
        """
        used = self._transports.get()
        if used.is_refused and used.must_be_renewed():
            # Credentials of an earlier call were refused or missing: look for others.
            self._transports.renew(used)
            used = self._transports.get()

        async def refresh() -> None:
            self._transports.renew(used)

        def attempt_once() -> Awaitable[T]:
            # Another request may have refreshed the session while this one waited for its permit.
            return attempt(self._transports.get())

        if slot is not None:
            return await slot.send(attempt_once, refresh=refresh)
        return await self._retrier.send(attempt_once, refresh=refresh)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a call until it succeeds or fails for good."""
        return await self.send(lambda transports: transports.call(method, params, self.stats))

    async def service(self) -> Service:
        """What is known of the service that calls go to."""
        return await self._transports.get().service()

    def secrets(self) -> set[str]:
        """What the running loop's requests are signed with."""
        try:
            transports = self._transports.get()
        except Exception:
            # Its settings make none, or no loop runs here: no request was sent.
            return set()
        return secrets_of(transports.fs)

    def close(self) -> None:
        """Close the connections; new ones are made when calls follow."""
        self._transports.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._transports.aclose()


def _settings() -> dict[str, str]:
    """What botocore reads of the environment: profiles, files, keys, endpoints."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
