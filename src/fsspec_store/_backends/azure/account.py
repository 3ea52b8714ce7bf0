"""Reads the endpoint and the credential of an adlfs filesystem, and builds URLs and headers.

Sends no requests to the storage service.
"""

from __future__ import annotations

import inspect
import logging
import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ...errors import StorageOptionError
from ..option_names import ADLFS, AZURE_IDENTITY
from ..options import refuse_unknown
from .credentials import Credential, SharedAccessSignature, SharedKey
from .responses import is_unsupported_version
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fsspec import AbstractFileSystem

    from ..._http.messages import Response

__all__ = ["Account", "account_of", "check_names", "check_options"]

logger = logging.getLogger("fsspec_store.azure")

_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
#: Versions of the REST API, the preferred one first. Since 2020-10-02 listings mark directories,
#: since 2021-02-12 they support every name. The others are for Azure Stack Hub and emulators:
#: batches need 2018-11-09, all other requests work with 2017-11-09.
_API_VERSIONS = ("2021-12-02", "2019-07-07", "2017-11-09")
#: Options that adlfs passes to fsspec.
_FSSPEC_OPTIONS = {"batch_size", "listings_expiry_time", "max_paths", "use_listings_cache"}


class Account:
    """Builds the URLs and headers of requests to a blob service.

    The endpoint is its URL without a query and a trailing ``/``.
    """

    def __init__(self, endpoint: str, credential: Credential) -> None:
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
        """These headers, with those that authorize a request that is sent immediately."""
        headers = {**headers, "x-ms-date": _date(int(time.time()))}
        value = await self.credential.authorization(method, path, query, headers)
        if value is not None:
            headers["Authorization"] = value
        return headers

    def use_older_version(self, rejected: str, response: Response[bytes]) -> bool:
        """Use an older version of the API if the service rejected this one; return true then."""
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


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    """An HTTP date, cached: formatting takes as long as signing."""
    return formatdate(seconds, usegmt=True)


def account_of(fs: AbstractFileSystem) -> Account:
    """The account of an adlfs filesystem, with the credential that adlfs uses.

    adlfs's ``timeout``, ``connection_timeout``, ``read_timeout``, ``max_concurrency`` and
    ``blocksize`` have no effect: the store has options for these. Raises `StorageOptionError` for
    options that have no effect, or that contradict each other.
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


def check_options(fs: AbstractFileSystem) -> None:
    """Raise `StorageOptionError` for options that adlfs ignores, or that have no effect."""
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
    """Raise `StorageOptionError` for names that adlfs ignores."""
    known = _FSSPEC_OPTIONS | AZURE_IDENTITY
    if not known.issuperset(given):
        known |= set(inspect.signature(cls.__init__).parameters)
        refuse_unknown("adlfs takes no storage option", given, known, ADLFS)


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
