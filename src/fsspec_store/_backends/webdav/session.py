"""Options of webdav4's filesystem, as options of an HTTP filesystem.

webdav4 sends its requests with httpx, whose options a store carries over to aiohttp.
"""

from __future__ import annotations

import inspect
import ssl
from base64 import b64encode
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from ...errors import StorageOptionError
from ..option_names import WEBDAV4
from ..options import refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = ["check_names", "check_options"]

#: Options that have a counterpart in aiohttp.
_KNOWN = {"auth", "base_url", "cert", "cookies", "headers", "proxy", "trust_env", "verify"}
#: Options of webdav4 and httpx that the store's own timeouts, retries and limits replace.
_REPLACED = {"chunk_size", "follow_redirects", "limits", "max_redirects", "retry", "timeout"}


def check_names(cls: type[Any], given: Mapping[str, Any]) -> None:
    """Refuse unknown options of webdav4, and files that do not exist."""
    # A class of another package may accept options without naming them.
    if cls.__module__.partition(".")[0] == "webdav4":
        refuse_unknown("a store on WebDAV takes no option", given, _KNOWN | _REPLACED, WEBDAV4)
    for name in ("verify", "cert"):
        files = given.get(name)
        # The third one is a password.
        for file in files[:2] if isinstance(files, (tuple, list)) else [files]:
            if isinstance(file, (str, PathLike)) and not Path(file).exists():
                raise StorageOptionError(f"{name}: no such file or directory: {str(file)!r}")


def check_options(fs: AbstractFileSystem) -> tuple[URL, HTTPFileSystem]:
    """Refuse options that a store cannot carry over; return the base URL, and the others."""
    names = inspect.signature(type(fs)).parameters
    options: dict[str, Any] = dict(zip(names, fs.storage_args, strict=False)) | fs.storage_options
    check_names(type(fs), options)
    url = URL(str(options.get("base_url")))
    if url.scheme not in ("http", "https") or not url.host or url.raw_query_string:
        raise StorageOptionError("base_url must be an http or https URL with a host, and no query")
    headers = dict(options.get("headers") or {})
    auth = options.get("auth")
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        pair = b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    elif auth is not None:
        raise StorageOptionError(
            f"auth must be (user, password), got {type(auth).__name__}; for a token write "
            "headers={'Authorization': 'Bearer ...'}"
        )
    verify, cert = options.get("verify", True), options.get("cert")
    tls = {} if verify is True and cert is None else {"ssl": _tls(verify, cert)}
    client = {"trust_env": options.get("trust_env", True), "cookies": options.get("cookies")}
    more = {"headers": headers, "proxy": options.get("proxy"), "client_kwargs": client} | tls
    return url, HTTPFileSystem(asynchronous=True, skip_instance_cache=True, encoded=True, **more)


def _tls(verify: Any, cert: Any) -> ssl.SSLContext:
    if isinstance(verify, ssl.SSLContext):
        context = verify
    elif isinstance(verify, bool):
        context = ssl.create_default_context()
        context.check_hostname = verify
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    else:
        kind = "capath" if Path(verify).is_dir() else "cafile"
        context = ssl.create_default_context(**{kind: verify})
    if cert is not None:
        context.load_cert_chain(*(cert if isinstance(cert, (tuple, list)) else (cert,)))
    return context
