"""The session by which s3fs finds credentials: it looks once, and one look-up runs at a time.

botocore looks for credentials again for every client and, when a provider fails, for every request
that waits for it. Here all requests of one session share one outcome. A new session looks again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiobotocore.session
from botocore.exceptions import ClientError, CredentialRetrievalError

from .responses import verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Session"]

#: Credentials that end sooner are renewed before they are used, as botocore does it
#: (``RefreshableCredentials._mandatory_refresh_timeout``).
_MANDATORY_SECONDS = 600


class Session(aiobotocore.session.AioSession):  # type: ignore[misc]
    """A session of one event loop, whose credentials are found or not for all its requests."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._looking = asyncio.Lock()
        self._looked_up: tuple[Any] | None = None
        #: What the last look-up failed with, and when.
        self._failure: tuple[Exception, float] | None = None

    async def get_credentials(self) -> Any:
        """The credentials, ``None`` where no provider has any.

        Raises
        ------
        Exception
            What a provider raised, at the first call or now.
        """
        if self._looked_up is None:
            self._looked_up = await self._look(self._find)
        return self._looked_up[0]

    async def renewed(self, credentials: Any) -> Any:
        """Credentials that end, renewed where that is due."""
        if not credentials.refresh_needed(_MANDATORY_SECONDS):
            return await credentials.get_frozen_credentials()
        return await self._look(credentials.get_frozen_credentials)

    async def _find(self) -> tuple[Any]:
        if self._looked_up is not None:
            return self._looked_up
        found = await super().get_credentials()
        return (_Renewed(found, self) if hasattr(found, "refresh_needed") else found,)

    async def _look(self, find: Callable[[], Awaitable[Any]]) -> Any:
        """Await ``find()``, one at a time; a failure is raised to all callers that wait.

        A failure that may pass is no longer than that: an attempt that begins later looks again.
        """
        began = time.monotonic()
        async with self._looking:
            if self._failure is not None:
                failure, ended = self._failure
                if ended > began or verdict(failure) is None:
                    raise failure.with_traceback(None)
            try:
                return await find()
            except ClientError as error:
                # Of the service that gives credentials: its codes say nothing of S3's answers.
                failure = CredentialRetrievalError(provider="a service", error_msg=str(error))
            except Exception as error:
                failure = error
            self._failure = failure, time.monotonic()
            raise failure


class _Renewed:
    """botocore's credentials that end, renewed by their session."""

    def __init__(self, credentials: Any, session: Session) -> None:
        self._credentials = credentials
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)

    async def get_frozen_credentials(self) -> Any:
        return await self._session.renewed(self._credentials)
