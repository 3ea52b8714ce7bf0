"""Reads the configuration of an adlfs filesystem: endpoint and credential of the account.

Rejects options that have no effect. Supports shared keys, shared access signatures and tokens.
Sends no requests to the storage service.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import inspect
import logging
import os
import re
import threading
import time
from concurrent.futures import Future
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from fsspec.asyn import get_loop

from ..._http.credential_lookups import LookupRate
from ..._runtime.forks import free_in_child
from ...errors import StorageOptionError
from ..option_names import ADLFS
from ..options import refuse_unknown
from .responses import is_unsupported_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from fsspec import AbstractFileSystem

    from ..._http.messages import Response

__all__ = [
    "Account",
    "Credential",
    "SharedKey",
    "Tokens",
    "account_of",
    "check_names",
    "check_options",
]

logger = logging.getLogger("fsspec_store.azure")

_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
#: Versions of the REST API, the preferred one first. Since 2020-10-02 listings mark directories,
#: since 2021-02-12 they support every name. The others are for Azure Stack Hub and emulators:
#: batches need 2018-11-09, all other requests work with 2017-11-09.
_API_VERSIONS = ("2021-12-02", "2019-07-07", "2017-11-09")
#: Printable ASCII without the space and ``#``, which end a query.
_QUERY_CHARACTERS = re.compile(r'[!"$-~]*')
_INVALID_SAS = (
    "the shared access signature has a character that is invalid in a URL: a space, a line break, "
    "'#', or a non-ASCII character"
)
#: Characters that no proxy changes in a header (RFC 9110, section 5.5).
_HEADER_CHARACTERS = re.compile("[!-~]+")
_SCOPE = "https://storage.azure.com/.default"
#: A token is refreshed this long before it expires.
_REFRESH_MARGIN_SECONDS = 300

#: Headers whose values are signed, in this order ("Authorize with Shared Key").
_SIGNED_HEADERS = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)

#: Options that adlfs passes to fsspec.
_FSSPEC_OPTIONS = frozenset(
    {"batch_size", "listings_expiry_time", "max_paths", "use_listings_cache"}
)
#: Options that adlfs passes to ``azure.identity.DefaultAzureCredential``, which checks no names.
_IDENTITY_OPTIONS = frozenset(
    {
        "additionally_allowed_tenants",
        "authority",
        "broker_client_id",
        "broker_tenant_id",
        "disable_instance_discovery",
        "exclude_broker_credential",
        "exclude_cli_credential",
        "exclude_developer_cli_credential",
        "exclude_environment_credential",
        "exclude_interactive_browser_credential",
        "exclude_managed_identity_credential",
        "exclude_powershell_credential",
        "exclude_shared_token_cache_credential",
        "exclude_visual_studio_code_credential",
        "exclude_workload_identity_credential",
        "identity_config",
        "interactive_browser_client_id",
        "interactive_browser_tenant_id",
        "logging_enable",
        "managed_identity_client_id",
        "process_timeout",
        "require_envvar",
        "shared_cache_tenant_id",
        "shared_cache_username",
        "subscription",
        "visual_studio_code_tenant_id",
        "workload_identity_client_id",
        "workload_identity_tenant_id",
    }
)


class Credential(Protocol):
    """Authorizes requests."""

    #: Whether `refresh` may replace a rejected credential.
    refreshable: bool

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        """The ``Authorization`` header of a request, ``None`` without one."""

    def signature(self) -> str:
        """The shared access signature for the query of every URL, or ``""``."""

    def current_token(self) -> object:
        """Identifies the token of the request that was authorized last, for `refresh`."""

    async def refresh(self, rejected: object) -> None:
        """Discard the rejected token, unless it was replaced already."""


class Account:
    """Builds the URLs and headers of requests to an account.

    Parameters
    ----------
    endpoint : str
        URL of the blob service, without a query and a trailing ``/``.
    credential : Credential
        Authorizes requests.
    """

    def __init__(self, endpoint: str, credential: Credential) -> None:
        self.endpoint = endpoint
        self.credential = credential
        scheme, _, rest = endpoint.partition("://")
        host, slash, below = rest.partition("/")
        #: Version of the REST API.
        self.version = _API_VERSIONS[0]
        #: Scheme and host, the scope of the limiter.
        self.service = f"{scheme}://{host}"
        #: Prefix of all paths: for an emulator, the name of the account.
        self.base = slash + below
        #: The proxy of the environment, as in Azure's SDK. aiohttp would look it up, and a password
        #: in ~/.netrc, for every request.
        self.proxy = None if proxy_bypass(host) else getproxies().get(scheme)
        if self.proxy and "://" not in self.proxy:
            # As in curl and requests.
            self.proxy = f"http://{self.proxy}"

    def url(self, path: str, query: str) -> str:
        """The URL of a request. The path is quoted and begins with `base`."""
        query = "&".join(part for part in (query, self.credential.signature()) if part)
        return self.service + path + ("?" + query if query else "")

    async def headers(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """All headers of a request that is sent immediately."""
        return await self._authorized(
            method,
            path,
            query,
            {**headers, "x-ms-version": self.version, "x-ms-date": _now()},
        )

    def use_older_version(self, rejected: str, response: Response[bytes]) -> bool:
        """Whether a rejected request should be retried with an older version of the API.

        Parameters
        ----------
        rejected : str
            The version in the request.
        response : Response
            The error response.
        """
        if not is_unsupported_version(response):
            return False
        if self.version == rejected:
            later = _API_VERSIONS.index(rejected) + 1
            if later == len(_API_VERSIONS):
                return False
            self.version = _API_VERSIONS[later]
            logger.warning(
                "the service does not support version %s of the Blob API; using version %s",
                rejected,
                self.version,
            )
        return True

    async def part_headers(self, method: str, path: str) -> dict[str, str]:
        """All headers of a request in a batch, which has the version of the batch."""
        return await self._authorized(
            method, path, "", {"Content-Length": "0", "x-ms-date": _now()}
        )

    async def _authorized(
        self, method: str, path: str, query: str, headers: dict[str, str]
    ) -> dict[str, str]:
        value = await self.credential.authorization(method, path, query, headers)
        if value is not None:
            headers["Authorization"] = value
        return headers


class SharedAccessSignature:
    """A shared access signature, or an empty one for public data.

    Parameters
    ----------
    source : str or AzureSasCredential
        The signature as a query string. A credential object may change it at any time.

    Raises
    ------
    StorageOptionError
        When a string has characters that are invalid in a URL.
    """

    refreshable = False

    def __init__(self, source: Any) -> None:
        self._source = source
        if isinstance(source, str):
            self._source = source = _sas_query(source)
            if not _QUERY_CHARACTERS.fullmatch(source):
                # The message must not contain the secret.
                raise StorageOptionError(_INVALID_SAS)

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        return None

    def signature(self) -> str:
        if isinstance(self._source, str):
            return self._source
        query = _sas_query(str(self._source.signature))
        if not _QUERY_CHARACTERS.fullmatch(query):
            raise ClientAuthenticationError(_INVALID_SAS)
        return query

    def current_token(self) -> object:
        return None

    async def refresh(self, rejected: object) -> None:
        pass


def _sas_query(signature: str) -> str:
    """A shared access signature without the ``?`` and line breaks of portals and files."""
    return signature.strip().lstrip("?")


class SharedKey:
    """An account's key.

    Parameters
    ----------
    account, key : str
        Name of the account, and its key in base 64.

    Raises
    ------
    StorageOptionError
        When the key is not base 64.
    """

    refreshable = False

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        try:
            self._key = base64.b64decode(key.strip(), validate=True)
        except (binascii.Error, ValueError):
            # Not chained: a traceback may show the key.
            raise StorageOptionError("invalid account_key: not base 64") from None

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        # "Authorize with Shared Key", versions since 2015-02-21.
        lines = [method, *(headers.get(name, "") for name in _SIGNED_HEADERS)]
        if lines[3] == "0":
            lines[3] = ""
        own = {name.lower(): name for name in headers if name.lower().startswith("x-ms-")}
        lines += [f"{lower}:{headers[name]}" for lower, name in sorted(own.items())]
        lines.append(f"/{self._account}{path}")
        if query:
            pairs = [part.partition("=") for part in query.split("&")]
            lines += sorted(f"{name.lower()}:{unquote(value)}" for name, _, value in pairs)
        digest = hmac.digest(self._key, "\n".join(lines).encode(), "sha256")
        return f"SharedKey {self._account}:{base64.b64encode(digest).decode()}"

    def signature(self) -> str:
        return ""

    def current_token(self) -> object:
        return None

    async def refresh(self, rejected: object) -> None:
        pass


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


async def _await_token(found: Awaitable[Any]) -> _Token:
    return _parsed_token(await found)


class Tokens:
    """Tokens of a credential object, fetched once for all event loops of the process.

    A synchronous object runs in a new thread. An asynchronous one has a session that belongs to one
    loop: it always runs on the loop of fsspec, as in adlfs.

    Parameters
    ----------
    credential : TokenCredential or AsyncTokenCredential
        As in azure.identity. It is never closed, because it belongs to the user.
    """

    refreshable = True

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
            try:
                await asyncio.shield(asyncio.wrap_future(fetch))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not fetch.cancelled() or (task is not None and task.cancelling()):
                    raise
            except Exception:
                # It is raised below.
                pass
        if fetch.cancelled():
            raise ServiceRequestError("the request for a token was cancelled")
        error = fetch.exception()
        if error is not None:
            # All waiting requests raise this exception: its traceback would grow with each.
            raise error.with_traceback(None)
        return fetch.result().authorization

    def signature(self) -> str:
        return ""

    def current_token(self) -> object:
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
        if fetch.cancelled():
            return True
        if fetch.exception() is not None:
            return self._rate.take()
        return fetch.result().expires_on - time.time() < _REFRESH_MARGIN_SECONDS

    def _start_fetch(self) -> Future[_Token]:
        get_token = self._credential.get_token
        if inspect.iscoroutinefunction(get_token):
            return asyncio.run_coroutine_threadsafe(_await_token(get_token(_SCOPE)), get_loop())
        future: Future[_Token] = Future()

        def run() -> None:
            try:
                found = get_token(_SCOPE)
                if inspect.isawaitable(found):
                    # iscoroutinefunction does not detect a wrapped asynchronous method.
                    fetch = asyncio.run_coroutine_threadsafe(_await_token(found), get_loop())
                    token = fetch.result()
                else:
                    token = _parsed_token(found)
                future.set_result(token)
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                # SystemExit, for one, would end the process that waits for the token.
                future.set_exception(_NoTokenError(f"get_token raised {type(error).__name__}"))

        threading.Thread(target=run, name="fsspec-store-token", daemon=True).start()
        return future


def _now() -> str:
    return _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    """An HTTP date, cached: formatting takes as long as signing."""
    return formatdate(seconds, usegmt=True)


def account_of(fs: AbstractFileSystem) -> Account:
    """The account of an adlfs filesystem, with the credential that adlfs uses.

    adlfs's ``timeout``, ``connection_timeout``, ``read_timeout``, ``max_concurrency`` and
    ``blocksize`` have no effect: the store has options for these.

    Raises
    ------
    StorageOptionError
        Names an option that has no effect, or that contradicts the others.
    """
    check_options(fs)
    client = fs.service_client
    endpoint, _, query = client.primary_endpoint.partition("?")
    if fs.location_mode == "secondary":
        if not client.secondary_hostname:
            raise StorageOptionError(
                "location_mode='secondary' needs an account with a secondary endpoint: give "
                "BlobSecondaryEndpoint in the connection string"
            )
        # With a connection string it has a scheme.
        host = client.secondary_hostname.rpartition("://")[2]
        endpoint = f"{client.scheme}://{host}"
    endpoint = endpoint.rstrip("/")
    if not _ENDPOINT.fullmatch(endpoint) or not _has_port(endpoint):
        # The message does not repeat the URL: its user name may be a secret.
        raise StorageOptionError(
            "the account's endpoint must be http(s)://host[:port][/account], without a user name"
        )
    return Account(endpoint, _credential(fs, client.credential, query))


def _has_port(url: str) -> bool:
    """Whether the port of a URL is valid or omitted."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _credential(fs: AbstractFileSystem, found: Any, query: str) -> Credential:
    if found is None:
        return SharedAccessSignature(query)
    if hasattr(found, "account_key"):
        return SharedKey(found.account_name, found.account_key)
    if hasattr(found, "signature"):
        return SharedAccessSignature(found)
    # adlfs makes a synchronous and an asynchronous credential; only the latter needs its loop.
    return Tokens(fs.sync_credential or found)


def check_options(fs: AbstractFileSystem) -> None:
    """Reject options that adlfs ignores, or that have no effect.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    if fs.location_mode not in ("primary", "secondary"):
        raise StorageOptionError(
            f"location_mode must be 'primary' or 'secondary', got {fs.location_mode!r}"
        )
    if fs.request_session is not None:
        raise StorageOptionError(
            "adlfs ignores request_session, and a session serves only one event loop"
        )
    check_names(type(fs), fs.kwargs)


def check_names(cls: type[AbstractFileSystem], given: Iterable[str]) -> None:
    """Reject options that adlfs ignores, by name.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    known = _FSSPEC_OPTIONS | _IDENTITY_OPTIONS
    if not known.issuperset(given):
        known |= set(inspect.signature(cls.__init__).parameters)
        refuse_unknown("adlfs takes no storage option", given, known, ADLFS)
