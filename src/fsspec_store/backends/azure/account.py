"""Which account the user's adlfs filesystem leads to, and what lets a request into it.

Reads the filesystem's own client for its endpoint and credential, and refuses options that would
have no effect. Knows shared keys, shared access signatures and tokens; sends nothing to storage.
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

from ...errors import StorageOptionError
from ...forks import free_in_child
from ..lookup_rate import LookupRate
from ..option_names import ADLFS
from ..options import refuse_unknown
from .answers import refuses_version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping

    from fsspec import AbstractFileSystem

    from ..http_answers import Answer

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
#: The REST API this package is written for. Since 2020-10-02 listings say what a directory is,
#: since 2021-02-12 they can carry every name. The others are for Azure Stack Hub and emulators:
#: batches since 2018-11-09, all other requests since 2017-11-09 and before.
_API_VERSIONS = ("2021-12-02", "2019-07-07", "2017-11-09")
#: Printable ASCII without a space and ``#``, which would end a query.
_IN_QUERY = re.compile(r'[!"$-~]*')
_NO_SIGNATURE = (
    "the shared access signature holds a character that no URL can hold: a space, a line break, "
    "'#', or one that is no ASCII"
)
#: What may stand in a header without being changed on the way (RFC 9110, section 5.5).
_IN_HEADER = re.compile("[!-~]+")
_SCOPE = "https://storage.azure.com/.default"
#: A token is fetched anew so many seconds before it ends.
_TOKEN_MARGIN = 300

#: Headers that are signed by value, in this order ("Authorize with Shared Key").
_SIGNED = (
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

#: What adlfs hands on to fsspec.
_FSSPEC_OPTIONS = frozenset(
    {"batch_size", "listings_expiry_time", "max_paths", "use_listings_cache"}
)
#: What adlfs hands on to ``azure.identity.DefaultAzureCredential``, which takes anything.
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
    """What makes a request the account's own."""

    #: Whether a refused credential may have expired, and `renew` helps.
    renewable: bool

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        """The ``Authorization`` header of a request, ``None`` for none."""

    def signature(self) -> str:
        """What goes into every URL's query, ``""`` for nothing."""

    def used(self) -> object:
        """What a request that was just authorized was authorized with."""

    async def renew(self, refused: object) -> None:
        """Forget what was refused, unless that was done already."""


class Account:
    """An account's address, and the headers of requests to it.

    Parameters
    ----------
    endpoint : str
        URL of the blob service, without a query and without a ``/`` at its end.
    credential : Credential
        Lets requests in.
    """

    def __init__(self, endpoint: str, credential: Credential) -> None:
        self.endpoint = endpoint
        self.credential = credential
        scheme, _, rest = endpoint.partition("://")
        host, slash, below = rest.partition("/")
        #: Of the REST API.
        self.version = _API_VERSIONS[0]
        #: What its requests have in common, for the limit on them.
        self.service = f"{scheme}://{host}"
        #: Where paths begin: an emulator has the account's name in them.
        self.base = slash + below
        #: The environment's proxy, as the SDK's clients use it. aiohttp would look for it, and for
        #: another's password in ~/.netrc, with every request.
        self.proxy = None if proxy_bypass(host) else getproxies().get(scheme)
        if self.proxy and "://" not in self.proxy:
            # As curl and requests take it.
            self.proxy = f"http://{self.proxy}"

    def url(self, path: str, query: str) -> str:
        """The URL of a request: the path quoted, below `base`."""
        query = "&".join(part for part in (query, self.credential.signature()) if part)
        return self.service + path + ("?" + query if query else "")

    async def headers(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> dict[str, str]:
        """All headers of a request that is sent now."""
        return await self._authorized(
            method,
            path,
            query,
            {**headers, "x-ms-version": self.version, "x-ms-date": _now()},
        )

    def use_older_version(self, refused: str, answer: Answer) -> bool:
        """Whether a request that was refused may be sent with an older version of the API.

        Parameters
        ----------
        refused : str
            The version that the request was sent with.
        answer : Answer
            The error response.
        """
        if not refuses_version(answer):
            return False
        if self.version == refused:
            later = _API_VERSIONS.index(refused) + 1
            if later == len(_API_VERSIONS):
                return False
            self.version = _API_VERSIONS[later]
            logger.warning(
                "the service refuses version %s of the Blob API; requests are sent with version %s",
                refused,
                self.version,
            )
        return True

    async def part_headers(self, method: str, path: str) -> dict[str, str]:
        """All headers of a request inside a batch, whose version is the batch's."""
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


class Signature:
    """A shared access signature, or nothing at all for what anybody may read.

    Parameters
    ----------
    source : str or AzureSasCredential
        The signature as it stands in a query; a credential object may change it at any time.

    Raises
    ------
    StorageOptionError
        When a string cannot be part of a URL.
    """

    renewable = False

    def __init__(self, source: Any) -> None:
        self._source = source
        if isinstance(source, str):
            self._source = source = _query_of(source)
            if not _IN_QUERY.fullmatch(source):
                # Not shown: it is a secret.
                raise StorageOptionError(_NO_SIGNATURE)

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        return None

    def signature(self) -> str:
        if isinstance(self._source, str):
            return self._source
        query = _query_of(str(self._source.signature))
        if not _IN_QUERY.fullmatch(query):
            raise ClientAuthenticationError(_NO_SIGNATURE)
        return query

    def used(self) -> object:
        return None

    async def renew(self, refused: object) -> None:
        pass


def _query_of(signature: str) -> str:
    """A shared access signature as part of a query; files and portals add line breaks and ``?``."""
    return signature.strip().lstrip("?")


class SharedKey:
    """An account's key.

    Parameters
    ----------
    account, key : str
        The key in base 64.

    Raises
    ------
    StorageOptionError
        When the key is not.
    """

    renewable = False

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        try:
            self._key = base64.b64decode(key.strip(), validate=True)
        except (binascii.Error, ValueError):
            # Not chained: a traceback may show what it was called with.
            raise StorageOptionError("account_key is no key: keys are base 64") from None

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        # "Authorize with Shared Key", versions since 2015-02-21.
        lines = [method, *(headers.get(name, "") for name in _SIGNED)]
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

    def used(self) -> object:
        return None

    async def renew(self, refused: object) -> None:
        pass


class _Token(NamedTuple):
    """A token as it is sent, and the time when it ends."""

    authorization: str
    expires_on: float


class _NoTokenError(ClientAuthenticationError):
    """A credential object gave something else than a token."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the credential object gave no token: {why}")


def _token(found: Any) -> _Token:
    """What ``get_token`` returned, checked; a token from a file may end with a line break."""
    text = getattr(found, "token", None)
    text = text.strip() if isinstance(text, str) else ""
    if not _IN_HEADER.fullmatch(text):
        raise _NoTokenError("it is no text, or holds a character that no header can hold")
    try:
        return _Token(f"Bearer {text}", float(found.expires_on))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise _NoTokenError("its expires_on is no time") from None


async def _awaited(found: Awaitable[Any]) -> _Token:
    return _token(await found)


class Tokens:
    """Tokens of a credential object, fetched once for all loops of the process.

    A synchronous object is asked in a thread of its own. An asynchronous one has a session that
    belongs to one loop: it is always asked on fsspec's, where adlfs itself asks it.

    Parameters
    ----------
    credential : TokenCredential or AsyncTokenCredential
        As of azure.identity. It stays the user's, and is never closed.
    """

    renewable = True

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = free_in_child(threading.Lock())
        self._fetch: Future[_Token] | None = None
        self._rate = LookupRate()

    async def authorization(
        self, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> str | None:
        fetch = self._current()
        if not fetch.done():
            # Others wait for the same token: one who gives up must not take it from them.
            try:
                await asyncio.shield(asyncio.wrap_future(fetch))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not fetch.cancelled() or (task is not None and task.cancelling()):
                    raise
            except Exception:
                # Raised below.
                pass
        if fetch.cancelled():
            raise ServiceRequestError("the request for a token was cancelled")
        error = fetch.exception()
        if error is not None:
            # All who wait raise the same one: its traceback would grow with each.
            raise error.with_traceback(None)
        return fetch.result().authorization

    def signature(self) -> str:
        return ""

    def used(self) -> object:
        return self._fetch

    async def renew(self, refused: object) -> None:
        # Of many requests with one refused token, the first has another fetched for all.
        with self._lock:
            if self._fetch is refused and self._rate.take():
                self._fetch = None

    def _current(self) -> Future[_Token]:
        if self._pid != os.getpid():
            # A parent's thread will not bring the token.
            self._start()
        with self._lock:
            if self._fetch is None or self._is_due(self._fetch):
                self._fetch = self._fetched()
            return self._fetch

    def _is_due(self, fetch: Future[_Token]) -> bool:
        """Whether a token is fetched in place of this one, after a failure at a bounded rate."""
        if not fetch.done():
            return False
        if fetch.cancelled():
            return True
        if fetch.exception() is not None:
            return self._rate.take()
        return fetch.result().expires_on - time.time() < _TOKEN_MARGIN

    def _fetched(self) -> Future[_Token]:
        ask = self._credential.get_token
        if inspect.iscoroutinefunction(ask):
            return asyncio.run_coroutine_threadsafe(_awaited(ask(_SCOPE)), get_loop())
        future: Future[_Token] = Future()

        def run() -> None:
            try:
                found = ask(_SCOPE)
                if inspect.isawaitable(found):
                    # A wrapped method of an asynchronous object does not look like one.
                    token = asyncio.run_coroutine_threadsafe(_awaited(found), get_loop()).result()
                else:
                    token = _token(found)
                future.set_result(token)
            except Exception as error:
                future.set_exception(error)
            except BaseException as error:
                # It would end the programs that wait for the token.
                future.set_exception(_NoTokenError(f"it raised {type(error).__name__}"))

        threading.Thread(target=run, name="fsspec-store-token", daemon=True).start()
        return future


def _now() -> str:
    return _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    """A time as HTTP has it: to spell it out takes as long as to sign it."""
    return formatdate(seconds, usegmt=True)


def account_of(fs: AbstractFileSystem) -> Account:
    """The account of an adlfs filesystem, and the credential adlfs itself would use.

    adlfs's ``timeout``, ``connection_timeout``, ``read_timeout``, ``max_concurrency`` and
    ``blocksize`` give way to the store's own; what a value is does not depend on them.

    Raises
    ------
    StorageOptionError
        Naming an option that has no effect, or that does not fit the others.
    """
    check_options(fs)
    client = fs.service_client
    endpoint, _, query = client.primary_endpoint.partition("?")
    if fs.location_mode == "secondary":
        if not client.secondary_hostname:
            raise StorageOptionError(
                "location_mode='secondary' needs an account with a secondary endpoint: name it as "
                "BlobSecondaryEndpoint in the connection string"
            )
        # From a connection string it comes with its scheme.
        host = client.secondary_hostname.rpartition("://")[2]
        endpoint = f"{client.scheme}://{host}"
    endpoint = endpoint.rstrip("/")
    if not _ENDPOINT.fullmatch(endpoint) or not _has_port(endpoint):
        # Not shown: what stands before a host's @ may be a secret.
        raise StorageOptionError(
            "an account's endpoint is http(s)://host[:port][/account], without a user name"
        )
    return Account(endpoint, _credential(fs, client.credential, query))


def _has_port(url: str) -> bool:
    """Whether the port of a URL is one, or left out."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _credential(fs: AbstractFileSystem, found: Any, query: str) -> Credential:
    if found is None:
        return Signature(query)
    if hasattr(found, "account_key"):
        return SharedKey(found.account_name, found.account_key)
    if hasattr(found, "signature"):
        return Signature(found)
    # Where adlfs made the credential it made it twice; the synchronous one belongs to no loop.
    return Tokens(fs.sync_credential or found)


def check_options(fs: AbstractFileSystem) -> None:
    """Refuse the options that adlfs swallows, or that have no effect.

    Raises
    ------
    StorageOptionError
        Naming each of them.
    """
    if fs.location_mode not in ("primary", "secondary"):
        raise StorageOptionError(
            f"location_mode is 'primary' or 'secondary', got {fs.location_mode!r}"
        )
    if fs.request_session is not None:
        raise StorageOptionError(
            "adlfs makes no use of request_session, and a session serves one event loop only"
        )
    check_names(type(fs), fs.kwargs)


def check_names(cls: type[AbstractFileSystem], given: Iterable[str]) -> None:
    """Refuse options that adlfs swallows, by their names alone.

    Raises
    ------
    StorageOptionError
        Naming each of them.
    """
    known = _FSSPEC_OPTIONS | _IDENTITY_OPTIONS
    if not known.issuperset(given):
        known |= set(inspect.signature(cls.__init__).parameters)
        refuse_unknown("adlfs takes no storage option", given, known, ADLFS)
