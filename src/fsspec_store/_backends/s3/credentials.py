"""The botocore session of s3fs: one credential lookup at a time, shared by all requests.

botocore repeats the lookup for every client and, when a provider fails, for every waiting request.
All requests of one `Session` share one result. A new session looks up credentials again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiobotocore.session
from botocore.exceptions import ClientError, CredentialRetrievalError

from .responses import retry_decision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Session"]

#: Credentials that expire sooner are refreshed before use, as in botocore
#: (``RefreshableCredentials._mandatory_refresh_timeout``).
_MANDATORY_REFRESH_SECONDS = 600


class Session(aiobotocore.session.AioSession):  # type: ignore[misc]
    """A session of one event loop whose requests share one credential lookup."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lookup_lock = asyncio.Lock()
        self._found: tuple[Any] | None = None
        #: The error of the last lookup, and when it ended.
        self._failure: tuple[Exception, float] | None = None

    async def get_credentials(self) -> Any:
        """The credentials; ``None`` where no provider has any."""
        if self._found is None:
            self._found = await self._look_up(self._find)
        return self._found[0]

    async def refreshed(self, credentials: Any) -> Any:
        """Frozen credentials, refreshed if they expire soon."""
        if not credentials.refresh_needed(_MANDATORY_REFRESH_SECONDS):
            return await credentials.get_frozen_credentials()
        return await self._look_up(credentials.get_frozen_credentials)

    async def _find(self) -> tuple[Any]:
        if self._found is not None:
            return self._found
        found = await super().get_credentials()
        return (_RefreshedCredentials(found, self) if hasattr(found, "refresh_needed") else found,)

    async def _look_up(self, find: Callable[[], Awaitable[Any]]) -> Any:
        """Await ``find()``, one call at a time; all waiting callers get the same error.

        A transient error is raised only to callers that waited: a later call tries again.
        """
        began = time.monotonic()
        async with self._lookup_lock:
            if self._failure is not None:
                failure, ended = self._failure
                if ended > began or retry_decision(failure) is None:
                    raise failure.with_traceback(None)
            try:
                return await find()
            except ClientError as error:
                # Raised by the credential service, whose error codes are not those of S3.
                failure = CredentialRetrievalError(provider="a service", error_msg=str(error))
            except Exception as error:
                failure = error
            self._failure = failure, time.monotonic()
            raise failure


class _RefreshedCredentials:
    """botocore's refreshable credentials, refreshed by `Session.refreshed`."""

    def __init__(self, credentials: Any, session: Session) -> None:
        self._credentials = credentials
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)

    async def get_frozen_credentials(self) -> Any:
        return await self._session.refreshed(self._credentials)
