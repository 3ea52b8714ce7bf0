"""The credentials of a gcsfs filesystem: signs requests, and refreshes tokens."""

from __future__ import annotations

import copy
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from ..._http.credential_lookups import LookupRate
from ..._runtime.forks import free_in_child
from ..._runtime.threads import in_thread
from .responses import retry_decision

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Credentials", "check_headers"]


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ``GoogleAuthError`` if the token makes a header invalid."""
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise GoogleAuthError(  # type: ignore[no-untyped-call]
            "the token has a line break or another character that is invalid in a header"
        ) from None


class Credentials:
    """The credentials of the filesystem; blocking calls run in threads.

    gcsfs looks up credentials once, when the filesystem is made. If there are none, or they are
    rejected or cannot be refreshed, this class reads their source again.
    """

    def __init__(self, fs: Any, timeout: float) -> None:
        self._timeout = timeout
        # A copy: credentials that are found later must not change the user's filesystem.
        self._found = copy.copy(fs.credentials)
        self._source = getattr(fs.credentials, "token", None)
        # Both locks are held while a token is fetched.
        free_in_child(self._found.lock)
        self._lock = free_in_child(threading.Lock())
        self._rate = LookupRate()
        #: End time of the last attempt to get a token, and its error.
        self._ended = 0.0
        self._failure: Exception | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether there are no credentials."""
        return self._found.credentials is None

    @property
    def token(self) -> object:
        """Identifies the current credentials, for `refresh`."""
        return getattr(self._found.credentials, "token", None)

    @property
    def can_refresh(self) -> bool:
        """Whether a rejected token can be replaced."""
        # Without a source, anonymous means that no credentials were found.
        return not self.is_anonymous or (self._source is None and self._rate.is_open())

    def secrets(self) -> set[str]:
        """The current token, and the secrets that refresh it."""
        current = self._found.credentials
        names = ("token", "_refresh_token", "_client_secret", "_id_token")
        return {text for name in names if isinstance(text := getattr(current, name, None), str)}

    async def sign(self, headers: dict[str, str], operation_began: float) -> None:
        """Add the ``Authorization`` header, unless the credentials are anonymous.

        Requests whose operations began at the same time share one failed lookup.
        """
        current = self._found.credentials
        if current is not None and not current.valid:
            await self.refresh(None, operation_began)
            current = self._found.credentials
        if current is not None:
            current.apply(headers)

    async def refresh(self, rejected: object, operation_began: float) -> None:
        """Get a new token, unless there is a valid one other than ``rejected``."""
        await in_thread(self._refresh_once, rejected, operation_began, time.monotonic())

    def _is_valid(self, rejected: object) -> bool:
        current = self._found.credentials
        return current is not None and current.valid and current.token != rejected

    def _refresh_once(self, rejected: object, operation_began: float, began: float) -> None:
        """Get a token once for all concurrent operations; they share a failure too.

        A transient failure is shared only with the requests that waited for it. Their operations
        retry.
        """
        with self._lock:
            if self._is_valid(rejected):
                return
            failure = self._failure
            if self._ended > (began if failure and retry_decision(failure) else operation_began):
                if failure is not None:
                    raise failure.with_traceback(None)
                if self.is_anonymous:
                    return
            self._failure = None
            try:
                if not self.is_anonymous:
                    self._refresh_or_reload(rejected)
                elif self._rate.take():
                    self._reload()
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._ended = time.monotonic()

    def _refresh_or_reload(self, rejected: object) -> None:
        current = self._found.credentials
        try:
            self._refresh(rejected)
        except Exception as error:
            if retry_decision(error) or not self._has_source() or not self._rate.take():
                raise
            began = time.monotonic()
            try:
                self._reload()
                self._refresh(None)
            except Exception as again:
                self._found.credentials = current
                self._rate.record(time.monotonic() - began)
                raise error from again

    def _refresh(self, rejected: object) -> None:
        # Another store with the same credentials may have refreshed the token.
        with self._found.lock:
            if not self.is_anonymous and not self._is_valid(rejected):
                # gcsfs itself would wait two minutes.
                self._found.credentials.refresh(_TimedRequest(self._timeout))

    def _reload(self) -> None:
        began = time.monotonic()
        # Reads the file, or sends a request to the metadata service.
        self._found.connect(method=self._source)
        if self.is_anonymous:
            self._rate.record(time.monotonic() - began)

    def _has_source(self) -> bool:
        """Whether the source of the credentials may have new ones."""
        if self._source is None or self._source in ("google_default", "cloud"):
            return True
        return isinstance(self._source, str) and os.path.isfile(self._source)


class _TimedRequest(Request):
    """Sends requests for tokens with a timeout in seconds."""

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._seconds = timeout

    def __call__(self, url: str, *args: Any, **options: Any) -> Any:
        options["timeout"] = self._seconds
        return super().__call__(url, *args, **options)  # type: ignore[no-untyped-call]
