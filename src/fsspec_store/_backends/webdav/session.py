"""Options of webdav4's filesystem, as options of an HTTP filesystem.

webdav4 sends its requests with httpx, whose options a store carries over to aiohttp.
"""

from __future__ import annotations

import inspect
import ssl
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from ...errors import StorageOptionError
from ..option_names import WEBDAV4
from ..options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fsspec import AbstractFileSystem

__all__ = ["base_url", "check_names", "check_options", "http_filesystem"]

#: Options that have a counterpart in aiohttp.
_KNOWN = {"auth", "base_url", "cert", "cookies", "headers", "proxy", "trust_env", "verify"}
#: Options of webdav4 and httpx that the store's own timeouts, retries and limits replace.
_REPLACED = {"chunk_size", "follow_redirects", "limits", "max_redirects", "retry", "timeout"}


def check_names(cls: type[Any], given: Iterable[str]) -> None:
    """Refuse options that a store cannot carry over, by name.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    # A class of another package may accept options without naming them.
    if cls.__module__.partition(".")[0] == "webdav4":
        refuse_unknown("a store on WebDAV takes no option", given, _KNOWN | _REPLACED, WEBDAV4)


def check_options(fs: AbstractFileSystem) -> None:
    """Refuse options that a store cannot carry over.

    Raises
    ------
    StorageOptionError
        Names each of them.
    """
    check_names(type(fs), _options(fs))
    http_filesystem(fs)
    base_url(fs)


def base_url(fs: AbstractFileSystem) -> URL:
    """The URL of the server's folder that paths are relative to."""
    url = URL(str(_options(fs).get("base_url")))
    if url.scheme not in ("http", "https") or not url.host or url.raw_query_string:
        raise StorageOptionError("base_url must be an http or https URL with a host, and no query")
    return url


def http_filesystem(fs: AbstractFileSystem) -> HTTPFileSystem:
    """An HTTP filesystem with the same credentials, headers, proxy and TLS settings."""
    options = _options(fs)
    auth = options.get("auth")
    more = {name: options[name] for name in ("headers", "proxy") if options.get(name)}
    if auth is not None:
        if not isinstance(auth, (tuple, list)) or len(auth) != 2:
            raise StorageOptionError(
                f"auth must be (user, password), got {type(auth).__name__}; for a token write "
                "headers={'Authorization': 'Bearer ...'}"
            )
        user, password = auth
        pair = b64encode(f"{user}:{password}".encode()).decode()
        more["headers"] = dict(more.get("headers") or {}) | {"Authorization": f"Basic {pair}"}
    verify, cert = options.get("verify", True), options.get("cert")
    if verify is not True or cert is not None:
        more["ssl"] = _tls(verify, cert)
    client = {"trust_env": options.get("trust_env", True), "cookies": options.get("cookies")}
    return HTTPFileSystem(
        client_kwargs=client, asynchronous=True, skip_instance_cache=True, encoded=True, **more
    )


def _options(fs: AbstractFileSystem) -> Mapping[str, Any]:
    names = list(inspect.signature(type(fs)).parameters)
    options: dict[str, Any] = dict(zip(names, fs.storage_args, strict=False))
    options.update(fs.storage_options)
    return options


def _tls(verify: Any, cert: Any) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        context = verify
    elif isinstance(verify, bool):
        context = ssl.create_default_context()
        context.check_hostname = verify
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    else:
        is_folder = Path(verify).is_dir()
        context = ssl.create_default_context(
            cafile=None if is_folder else verify, capath=verify if is_folder else None
        )
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context
