"""The session by which s3fs finds credentials: it looks once, and one look-up runs at a time.

botocore looks for credentials again for every client and, when a provider fails, for every request
that waits for it. Here all requests of one session share one outcome. A new session looks again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiobotocore.session

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
        self._failure: Exception | None = None

    async def get_credentials(self) -> Any:
        """The credentials, ``None`` where no provider has any.

        Raises
        ------
        Exception
            What a provider raised, at the first call or now.
        """
        async with self._looking:
            self._raise_failure()
            if self._looked_up is None:
                try:
                    found = await super().get_credentials()
                except Exception as error:
                    self._failure = error
                    raise
                ends = hasattr(found, "refresh_needed")
                self._looked_up = (_Renewed(found, self) if ends else found,)
            return self._looked_up[0]

    async def renewed(self, credentials: Any) -> Any:
        """Credentials that end, renewed where that is due."""
        if not credentials.refresh_needed(_MANDATORY_SECONDS):
            return await credentials.get_frozen_credentials()
        async with self._looking:
            self._raise_failure()
            try:
                return await credentials.get_frozen_credentials()
            except Exception as error:
                self._failure = error
                raise

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)


class _Renewed:
    """botocore's credentials that end, renewed by their session."""

    def __init__(self, credentials: Any, session: Session) -> None:
        self._credentials = credentials
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._credentials, name)

    async def get_frozen_credentials(self) -> Any:
        return await self._session.renewed(self._credentials)
