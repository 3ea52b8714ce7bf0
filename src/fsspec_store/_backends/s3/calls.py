"""S3's calls by the lanes of the running loop: one attempt, or attempts until one succeeds.

Knows which settings make other sessions, and nothing of what the calls are for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from ..._http.limiter import MAX_IN_FLIGHT
from ..._http.retrier import Sender
from ..._runtime.sharing import Shared, frozen
from .answers import verdict
from .lanes import secrets_of
from .session import S3Filesystems, check_options, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fsspec import AbstractFileSystem

    from ..._http.retrier import Slot, Stats
    from ..._http.retry_policy import RetryPolicy
    from .features import Service
    from .lanes import Lanes

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
    policy : RetryPolicy
        Timeouts and retries.
    stats : Stats
        Counts.
    fast : bool
        Whether plain requests bypass s3fs.

    Raises
    ------
    StorageOptionError
        When the filesystem was given an option it cannot use.
    """

    def __init__(
        self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats, *, fast: bool
    ) -> None:
        check_options(fs)
        options = {
            name: value for name, value in fs.storage_options.items() if name not in _OF_FSSPEC
        }
        user = (type(fs), frozen(fs.storage_args), frozen(options), frozen(_settings()))
        self._lanes: Shared[Lanes] = Shared(
            ("s3", *user, policy, fast),
            lambda: S3Filesystems(fs, policy, fast=fast, max_connections=MAX_IN_FLIGHT),
        )
        self._sender = Sender(f"s3 {endpoint_of(fs)}", policy, verdict, stats)
        self.stats = stats

    @property
    def lanes(self) -> Lanes:
        """The running loop's own."""
        return self._lanes.get()

    async def once(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a call a single time, for an attempt of `send`; see `Lanes.call`."""
        return await self._lanes.get().call(method, params, self.stats)

    def slot(self) -> Slot:
        """A slot for a call whose body is read after its attempt; to be entered."""
        return self._sender.slot()

    async def send(self, attempt: Callable[[], Awaitable[T]], slot: Slot | None = None) -> T:
        """Await ``attempt()`` until it succeeds or fails for good; see `Slot.send`.

        Parameters
        ----------
        attempt : callable
            Sends calls by `once`.
        slot : Slot, optional
            For an attempt that leaves a body to be read.
        """

        async def renew() -> None:
            self._lanes.renew(used)

        used = self._lanes.get()
        if used.is_refused and used.must_be_renewed():
            # Those of an earlier call were refused, or not found: a new session looks for others.
            self._lanes.renew(used)
            used = self._lanes.get()
        if slot is not None:
            return await slot.send(attempt, renew=renew)
        return await self._sender.send(attempt, renew=renew)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a call until it succeeds or fails for good."""
        return await self.send(lambda: self.once(method, **params))

    async def service(self) -> Service:
        """What is known of the service that calls go to."""
        return await self._lanes.get().service()

    def secrets(self) -> set[str]:
        """What the running loop's requests are signed with."""
        try:
            lanes = self._lanes.get()
        except Exception:
            # Its settings make none, or no loop runs here: no request was sent.
            return set()
        return secrets_of(lanes.fs)

    def close(self) -> None:
        """Close the connections; new ones are made when calls follow."""
        self._lanes.close()

    async def aclose(self) -> None:
        """As `close`, awaiting the running loop's."""
        await self._lanes.aclose()


def _settings() -> dict[str, str]:
    """What botocore reads of the environment: profiles, files, keys, endpoints."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
