"""Reads the configuration of a gcsfs filesystem: endpoint, credentials, session options.

The filesystem itself sends no requests. Its timeouts, retries, block sizes and listing caches have
no effect: the store has its own retry policy and no cache. The store verifies every write, so
``consistency`` has no effect either. Sends only requests for tokens.
"""

from __future__ import annotations

import copy
import inspect
import os
import re
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aiohttp
from gcsfs import core
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request

from ..._http.credential_lookups import LookupRate
from ..._http.limiter import MAX_IN_FLIGHT
from ..._runtime.forks import free_in_child
from ..._runtime.threads import in_thread
from ...errors import StorageOptionError
from ..option_names import GCSFS
from ..options import endpoint_advice, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "Authorization",
    "billed_project",
    "check_names",
    "check_options",
    "endpoint",
    "session_maker",
    "supports_native",
]

_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
#: Start time of the current operation.
_operation_start: ContextVar[float] = ContextVar("fsspec_store_operation", default=0.0)
#: Options that fsspec and gcsfs accept without naming them in a signature.
_UNNAMED_OPTIONS = frozenset(
    {
        "batch_size",
        "listings_expiry_time",
        "max_paths",
        "memmove_max_workers",
        "retry_initial",
        "retry_maximum",
        "retry_multiplier",
        "retry_timeout",
        "skip_instance_cache",
        "use_listings_cache",
    }
)


def endpoint(fs: Any) -> str:
    """The service's URL, without a trailing ``/``.

    Raises
    ------
    StorageOptionError
        When it is not a URL, or has a user name: libraries print the URL in their errors.
    """
    location = str(fs._location).rstrip("/")
    if not _ENDPOINT.fullmatch(location):
        raise StorageOptionError(
            "endpoint_url (or STORAGE_EMULATOR_HOST) must be http(s)://host[:port], without a user "
            "name or a query; set credentials as token" + endpoint_advice(location)
        )
    return location


def billed_project(fs: Any) -> str | None:
    """The project that is billed for requests, ``None`` for the bucket's own project.

    Raises
    ------
    StorageOptionError
        When ``requester_pays`` is set without a project.
    """
    if not fs.requester_pays:
        return None
    project = fs.requester_pays if isinstance(fs.requester_pays, str) else fs.project
    if not project:
        raise StorageOptionError(
            "requester_pays=True needs a project: give project, or its name as requester_pays"
        )
    return str(project)


def check_options(fs: Any) -> None:
    """Reject options that gcsfs ignores, or that fail at the first request.

    Raises
    ------
    StorageOptionError
        Names each option that neither gcsfs nor the HTTP session accepts.
    """
    check_names(type(fs), fs.storage_options)
    known = {*_parameters(aiohttp.ClientSession)}
    refuse_unknown("session_kwargs: an aiohttp session takes no", fs.session_kwargs, known)
    if "connector" in fs.session_kwargs:
        raise StorageOptionError(
            "session_kwargs: a connector belongs to one event loop, and a store serves several; "
            "for a proxy give trust_env or proxy"
        )


def check_names(cls: type[Any], given: Iterable[str]) -> None:
    """Reject options that gcsfs ignores, by name, before gcsfs looks up credentials.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    # A class of another package may accept options without naming them.
    if cls.__module__.partition(".")[0] == "gcsfs":
        known = {*_parameters(*cls.__mro__), *_UNNAMED_OPTIONS}
        refuse_unknown("gcsfs takes no storage option", given, known, GCSFS)


def session_maker(fs: Any) -> Callable[[], aiohttp.ClientSession]:
    """Returns a function that makes a session for the running loop with ``session_kwargs``."""
    options = dict(fs.session_kwargs)
    # Older releases of gcsfs do not have this option.
    presents_certificate = getattr(fs, "_use_client_cert", False)
    uses_tls = endpoint(fs).startswith("https://")

    def make() -> aiohttp.ClientSession:
        tls = {"ssl": core._client_cert_ssl_context()} if presents_certificate and uses_tls else {}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, **tls), **options
        )

    return make


def supports_native(fs: Any) -> bool:
    """Whether the native transport supports the configuration."""
    return (
        not fs.session_kwargs
        and not getattr(fs, "_use_client_cert", False)
        and endpoint(fs).isascii()
    )


class Authorization:
    """The credentials of the filesystem; blocking calls run in threads.

    gcsfs looks up credentials once, when the filesystem is made. If there are none, or they are
    rejected or cannot be refreshed, this class reads their source again.

    Parameters
    ----------
    fs : GCSFileSystem
        As the user configured it.
    timeout : float
        Timeout of a request for a token, in seconds.
    """

    def __init__(self, fs: Any, timeout: float) -> None:
        self._timeout = timeout
        # A copy: credentials that are found later must not change the user's filesystem.
        self._credentials = copy.copy(fs.credentials)
        self._source = getattr(fs.credentials, "token", None)
        # Both locks are held while a token is fetched.
        free_in_child(self._credentials.lock)
        self._lock = free_in_child(threading.Lock())
        self._rate = LookupRate()
        #: End time of the last attempt to get a token, and its error.
        self._ended = 0.0
        self._failure: Exception | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether there are no credentials."""
        return self._credentials.credentials is None

    @property
    def token(self) -> object:
        """Identifies the current credentials, to compare them with refreshed ones."""
        return getattr(self._credentials.credentials, "token", None)

    @property
    def can_refresh(self) -> bool:
        """Whether a rejected token can be replaced."""
        # Without a source, anonymous means that no credentials were found.
        return not self.is_anonymous or (self._source is None and self._rate.is_open())

    def secrets(self) -> set[str]:
        """The current token, and the secrets that refresh it."""
        current = self._credentials.credentials
        names = ("token", "_refresh_token", "_client_secret", "_id_token")
        return {text for name in names if isinstance(text := getattr(current, name, None), str)}

    async def sign(self, headers: dict[str, str]) -> None:
        """Add the ``Authorization`` header, unless the credentials are anonymous."""
        current = self._credentials.credentials
        if current is None:
            return
        if not current.valid:
            await in_thread(self._refresh_all, _operation_start.get(), time.monotonic(), None)
            current = self._credentials.credentials
        current.apply(headers)

    def check_headers(self, headers: Mapping[str, str]) -> None:
        """Raise ``GoogleAuthError`` if the token makes a header invalid."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise GoogleAuthError(  # type: ignore[no-untyped-call]
                "the token has a line break or another character that is invalid in a header"
            ) from None

    async def refresh(self, rejected: object) -> None:
        """Get a new token, unless the rejected one was replaced already."""
        await in_thread(self._refresh_all, _operation_start.get(), time.monotonic(), (rejected,))

    def begin_operation(self) -> None:
        """Record the start of an operation; its requests share one credential lookup."""
        _operation_start.set(time.monotonic())

    def _refresh_all(self, operation: float, began: float, rejected: tuple[object] | None) -> None:
        """Get a token, or fail, once for all concurrent operations.

        A transient failure is shared only with the requests that waited for it. Their operations
        retry.
        """
        with self._lock:
            current = self._credentials.credentials
            if rejected is None and current is not None and current.valid:
                return
            if rejected is not None and self.token != rejected[0]:
                return
            failure = self._failure
            if self._ended > (began if failure and _is_transient(failure) else operation):
                if failure is not None:
                    raise failure.with_traceback(None)
                if current is None:
                    return
            self._failure = None
            try:
                if current is not None:
                    self._get_token(current, rejected)
                elif self._rate.take():
                    self._reload()
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._ended = time.monotonic()

    def _get_token(self, current: Any, rejected: tuple[object] | None) -> None:
        try:
            if rejected is None:
                self._refresh_if_invalid()
                return
            # Another store with the same credentials may have refreshed the token.
            with self._credentials.lock:
                if self.token == rejected[0]:
                    current.refresh(_TimedRequest(self._timeout))
        except Exception as error:
            if _is_transient(error) or not self._has_source() or not self._rate.take():
                raise
            began = time.monotonic()
            try:
                self._reload()
                self._refresh_if_invalid()
            except Exception as again:
                self._credentials.credentials = current
                self._rate.took(time.monotonic() - began)
                raise error from again

    def _refresh_if_invalid(self) -> None:
        """Get a token unless the current one is valid; gcsfs itself would wait two minutes."""
        with self._credentials.lock:
            current = self._credentials.credentials
            if current is not None and not current.valid:
                current.refresh(_TimedRequest(self._timeout))

    def _reload(self) -> None:
        began = time.monotonic()
        # Reads the file, or sends a request to the metadata service.
        self._credentials.connect(method=self._source)
        if self.is_anonymous:
            self._rate.took(time.monotonic() - began)

    def _has_source(self) -> bool:
        """Whether the source of the credentials may have new ones."""
        if self._source is None or self._source in ("google_default", "cloud"):
            return True
        return isinstance(self._source, str) and os.path.isfile(self._source)


class _TimedRequest(Request):
    """Sends requests for tokens with a timeout.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a connection, and for the next bytes of a response.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__()
        self._seconds = timeout

    def __call__(self, url: str, *args: Any, **options: Any) -> Any:
        options["timeout"] = self._seconds
        return super().__call__(url, *args, **options)  # type: ignore[no-untyped-call]


def _is_transient(error: Exception) -> bool:
    # gcsfs wraps the exception of google-auth.
    causes = (error, error.__cause__)
    return any(
        isinstance(cause, TransportError) or getattr(cause, "retryable", False) for cause in causes
    )


def _parameters(*classes: type) -> set[str]:
    return {
        name
        for cls in classes
        if "__init__" in vars(cls)
        for name, parameter in inspect.signature(vars(cls)["__init__"]).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
