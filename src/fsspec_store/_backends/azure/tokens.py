"""Authorizes requests with tokens of a credential object of the user, and refreshes them.

Calls only ``get_token``, so that every kind of credential object works.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from fsspec.asyn import get_loop

from ..._http.credential_lookups import LookupRate
from ..._runtime.forks import free_in_child
from .credentials import Credential

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

__all__ = ["Tokens"]

#: Characters that no proxy changes in a header (RFC 9110, section 5.5).
_HEADER_CHARACTERS = re.compile("[!-~]+")
_SCOPE = "https://storage.azure.com/.default"
#: A token is refreshed this long before it expires.
_REFRESH_MARGIN_SECONDS = 300


class _Token(NamedTuple):
    """The ``Authorization`` header with a token, and the time when it expires."""

    authorization: str
    expires_on: float


class _NoTokenError(ClientAuthenticationError):
    """A credential object did not return a valid token."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the credential object returned no valid token: {why}")


def _parsed_token(found: Any) -> _Token:
    """Check the result of ``get_token``; a token from a file may end with a line break."""
    text = getattr(found, "token", None)
    text = text.strip() if isinstance(text, str) else ""
    if not _HEADER_CHARACTERS.fullmatch(text):
        raise _NoTokenError("not a string, empty, or with a character that is invalid in a header")
    try:
        return _Token(f"Bearer {text}", float(found.expires_on))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise _NoTokenError("expires_on is not a time") from None


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


class Tokens(Credential):
    """Tokens of a credential object, fetched once for all event loops of the process.

    A synchronous object of azure.identity runs in a new thread. An asynchronous one has a session
    that belongs to one loop: it always runs on the loop of fsspec, as in adlfs. The object is not
    closed, because it belongs to the user.
    """

    can_refresh = True

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = free_in_child(threading.Lock())
        self._fetch: Future[_Token] | None = None
        self._rate = LookupRate()

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        fetch = self._current_fetch()
        if not fetch.done():
            # Other requests wait for this token: a cancelled one must not cancel the fetch.
            with suppress(Exception):
                await asyncio.shield(asyncio.wrap_future(fetch))
        error = fetch.exception()
        if error is not None:
            # All waiting requests raise this exception: its traceback would grow with each.
            raise error.with_traceback(None)
        return fetch.result().authorization

    @property
    def token(self) -> object:
        return self._fetch

    async def refresh(self, rejected: object) -> None:
        # The first of many requests with a rejected token fetches a new one for all.
        with self._lock:
            if self._fetch is rejected and self._rate.take():
                self._fetch = None

    def _current_fetch(self) -> Future[_Token]:
        if self._pid != os.getpid():
            # After a fork the parent's thread does not exist.
            self._reset()
        with self._lock:
            if self._fetch is None or self._needs_fetch(self._fetch):
                self._fetch = self._start_fetch()
            return self._fetch

    def _needs_fetch(self, fetch: Future[_Token]) -> bool:
        """Whether to fetch a new token; after a failure, at a bounded rate."""
        if not fetch.done():
            return False
        if fetch.exception() is not None:
            return self._rate.take()
        return fetch.result().expires_on - time.time() < _REFRESH_MARGIN_SECONDS

    def _start_fetch(self) -> Future[_Token]:
        future: Future[_Token] = Future()

        def run() -> None:
            try:
                found = self._credential.get_token(_SCOPE)
                if inspect.isawaitable(found):
                    found = asyncio.run_coroutine_threadsafe(_awaited(found), get_loop()).result()
                future.set_result(_parsed_token(found))
            except CancelledError:
                future.set_exception(ServiceRequestError("the request for a token was cancelled"))
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                # A SystemExit, for example, would end the process that waits for the token.
                future.set_exception(_NoTokenError(f"get_token raised {type(error).__name__}"))

        threading.Thread(target=run, name="fsspec-store-token", daemon=True).start()
        return future
