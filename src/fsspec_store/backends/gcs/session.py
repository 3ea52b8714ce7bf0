"""What the user's gcsfs filesystem was told: where the service is, who asks, and how to connect.

The filesystem is read and never used: requests go on sessions of the store's own. gcsfs's timeouts,
retries, block sizes and listing caches are left aside: the store has its own policy and no cache,
and verifies every write whatever ``consistency`` says. Knows gcsfs and Google's credentials, and no
request.
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

from ...errors import StorageOptionError
from ...forks import free_in_child
from ...limiter import MAX_IN_FLIGHT
from ...threads import in_thread
from ..lookup_rate import LookupRate
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
    "is_plain",
    "session_maker",
]

_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
#: When the running operation began.
_operation: ContextVar[float] = ContextVar("fsspec_store_operation", default=0.0)
#: What fsspec takes for any filesystem, and gcsfs without naming it in a signature.
_UNNAMED = frozenset(
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
        When it is no URL, or holds a user name: libraries print it in their errors.
    """
    location = str(fs._location).rstrip("/")
    if not _ENDPOINT.fullmatch(location):
        raise StorageOptionError(
            "endpoint_url (or STORAGE_EMULATOR_HOST) is http(s)://host[:port], without a user name "
            "or a query; credentials are given as token" + endpoint_advice(location)
        )
    return location


def billed_project(fs: Any) -> str | None:
    """The project that pays for requests, ``None`` where the bucket's own does.

    Raises
    ------
    StorageOptionError
        When requests are to be paid for, and no project is known.
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
    """Refuse the options that gcsfs swallows, or that would fail at the first request.

    Raises
    ------
    StorageOptionError
        Naming each option that neither gcsfs nor the HTTP session takes.
    """
    check_names(type(fs), fs.storage_options)
    known = {*_parameters(aiohttp.ClientSession)}
    refuse_unknown("session_kwargs: an aiohttp session takes no", fs.session_kwargs, known)
    if "connector" in fs.session_kwargs:
        raise StorageOptionError(
            "session_kwargs: a connector belongs to one event loop, and a store to none; "
            "for a proxy give trust_env or proxy"
        )


def check_names(cls: type[Any], given: Iterable[str]) -> None:
    """Refuse options that gcsfs swallows, by their names alone: it may ask for credentials first.

    Raises
    ------
    StorageOptionError
        Naming each of them.
    """
    # Another package's class may take options without naming them.
    if cls.__module__.partition(".")[0] == "gcsfs":
        known = {*_parameters(*cls.__mro__), *_UNNAMED}
        refuse_unknown("gcsfs takes no storage option", given, known, GCSFS)


def session_maker(fs: Any) -> Callable[[], aiohttp.ClientSession]:
    """What makes a session for the running loop, with the user's ``session_kwargs``."""
    options = dict(fs.session_kwargs)
    # Releases of gcsfs before this option present no client certificate.
    presents_certificate = getattr(fs, "_use_client_cert", False)
    uses_tls = endpoint(fs).startswith("https://")

    def make() -> aiohttp.ClientSession:
        tls = {"ssl": core._client_cert_ssl_context()} if presents_certificate and uses_tls else {}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, **tls), **options
        )

    return make


def is_plain(fs: Any) -> bool:
    """Whether the user configured nothing that only aiohttp knows how to keep to."""
    return (
        not fs.session_kwargs
        and not getattr(fs, "_use_client_cert", False)
        and endpoint(fs).isascii()
    )


class Authorization:
    """The credentials of the user's filesystem; what blocks is done in threads.

    gcsfs looks for credentials once, when the filesystem is made. Where it found none, or those it
    found cannot be renewed or are refused, their source is read again.

    Parameters
    ----------
    fs : GCSFileSystem
        As the user configured it.
    timeout : float
        Seconds to wait for a response with a token.
    """

    def __init__(self, fs: Any, timeout: float) -> None:
        self._timeout = timeout
        # A copy: credentials that are found later do not change the user's filesystem.
        self._credentials = copy.copy(fs.credentials)
        self._source = getattr(fs.credentials, "token", None)
        # Both are held while a token is fetched.
        free_in_child(self._credentials.lock)
        self._lock = free_in_child(threading.Lock())
        self._rate = LookupRate()
        #: When the last attempt to get a token ended, and what it failed with.
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
    def may_renew(self) -> bool:
        """Whether another token is possible after a refused one."""
        # Anonymous because nothing was found, and not because the user said so.
        return not self.is_anonymous or (self._source is None and self._rate.is_open())

    def secrets(self) -> set[str]:
        """The current token, and the credentials that it is refreshed by."""
        google = self._credentials.credentials
        names = ("token", "_refresh_token", "_client_secret", "_id_token")
        return {text for name in names if isinstance(text := getattr(google, name, None), str)}

    async def sign(self, headers: dict[str, str]) -> None:
        """Add the ``Authorization`` header; nothing where the credentials are anonymous."""
        google = self._credentials.credentials
        if google is None:
            return
        if not google.valid:
            await in_thread(self._refresh, _operation.get(), time.monotonic(), None)
            google = self._credentials.credentials
        google.apply(headers)

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise a ``GoogleAuthError`` where a signed header cannot be sent."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise GoogleAuthError(  # type: ignore[no-untyped-call]
                "the token has a line break or another character that no header can have"
            ) from None

    async def renew(self, refused: object) -> None:
        """Get a new token, unless `token` is no longer the refused one."""
        await in_thread(self._refresh, _operation.get(), time.monotonic(), (refused,))

    def begin(self) -> None:
        """Record the start of an operation: its requests share one look-up."""
        _operation.set(time.monotonic())

    def _refresh(self, operation: float, began: float, refused: tuple[object] | None) -> None:
        """Get a token, or fail, once for all operations that were under way.

        A failure that may pass is shared by the requests that waited alone: their operations try
        again.
        """
        with self._lock:
            google = self._credentials.credentials
            if refused is None and google is not None and google.valid:
                return
            if refused is not None and self.token != refused[0]:
                return
            failure = self._failure
            if self._ended > (began if failure and _is_passing(failure) else operation):
                if failure is not None:
                    raise failure.with_traceback(None)
                if google is None:
                    return
            self._failure = None
            try:
                if google is not None:
                    self._get_token(google, refused)
                elif self._rate.take():
                    self._look_again()
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._ended = time.monotonic()

    def _get_token(self, google: Any, refused: tuple[object] | None) -> None:
        try:
            if refused is None:
                self._refresh_invalid()
                return
            # Other stores may have the same credentials.
            with self._credentials.lock:
                if self.token == refused[0]:
                    google.refresh(_Request(self._timeout))
        except Exception as error:
            if _is_passing(error) or not self._has_source() or not self._rate.take():
                raise
            began = time.monotonic()
            try:
                self._look_again()
                self._refresh_invalid()
            except Exception as again:
                self._credentials.credentials = google
                self._rate.took(time.monotonic() - began)
                raise error from again

    def _refresh_invalid(self) -> None:
        """Get a token unless the current one is valid. gcsfs's own way waits two minutes for it."""
        with self._credentials.lock:
            google = self._credentials.credentials
            if google is not None and not google.valid:
                google.refresh(_Request(self._timeout))

    def _look_again(self) -> None:
        began = time.monotonic()
        # Reads the file, or asks the metadata service.
        self._credentials.connect(method=self._source)
        if self.is_anonymous:
            self._rate.took(time.monotonic() - began)

    def _has_source(self) -> bool:
        """Whether the source of the credentials may have others by now."""
        if self._source is None or self._source in ("google_default", "cloud"):
            return True
        return isinstance(self._source, str) and os.path.isfile(self._source)


class _Request(Request):
    """Requests for tokens that keep to a timeout.

    Parameters
    ----------
    longest : float
        Seconds to wait for a connection, and for the next bytes.
    """

    def __init__(self, longest: float) -> None:
        super().__init__()
        self._longest = longest

    def __call__(self, url: str, *args: Any, **options: Any) -> Any:
        options["timeout"] = self._longest
        return super().__call__(url, *args, **options)  # type: ignore[no-untyped-call]


def _is_passing(error: Exception) -> bool:
    # gcsfs puts an exception of its own around the library's.
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
