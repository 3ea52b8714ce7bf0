"""Proxies and credentials from environment variables and netrc, as with aiohttp's ``trust_env``."""

from __future__ import annotations

import base64
import netrc
import os
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL

__all__ = ["machine_credentials", "proxy_for"]


def proxy_for(url: URL) -> URL | None:
    """The proxy for a URL from ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``."""
    if proxy_bypass(url.host or ""):
        return None
    proxy = getproxies().get(url.scheme)
    return URL(proxy) if proxy else None


def machine_credentials(host: str) -> str | None:
    """The ``Authorization`` header from the netrc entry of this host.

    The ``default`` entry is not used: a server could redirect to any host to get it.
    """
    named = os.environ.get("NETRC")
    name = "_netrc" if os.name == "nt" else ".netrc"
    try:
        found = netrc.netrc(named or Path.home() / name).hosts.get(host)
    except (OSError, RuntimeError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
    if found is None:
        return None
    login, _, password = found
    pair = f"{login}:{password or ''}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
