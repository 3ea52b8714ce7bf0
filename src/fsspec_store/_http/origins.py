"""Origins of URLs, and the origins that may receive the user's headers and credentials. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from yarl import URL

from ..errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SCHEMES", "TRUSTED_HOSTS", "Origin", "origin_of", "trusted_origins"]

SCHEMES = ("http", "https")
#: Name of the option: hosts that receive headers and credentials when a server redirects to them.
TRUSTED_HOSTS = "trusted_redirect_hosts"


class Origin(NamedTuple):
    """Scheme, host and port of a URL (RFC 6454, section 4)."""

    scheme: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return str(URL.build(scheme=self.scheme, host=self.host, port=self.port))


def origin_of(url: URL) -> Origin:
    """The origin of a URL."""
    return Origin(url.scheme, url.raw_host or "", url.port)


def trusted_origins(url: URL, hosts: Iterable[str]) -> frozenset[Origin]:
    """The origins of a store and of further hosts.

    Parameters
    ----------
    hosts : iterable of str
        ``host`` or ``host:port``, with the scheme of the store, or ``scheme://host:port``.

    Raises
    ------
    StorageOptionError
        When a host has another form.
    """
    found = {origin_of(url)}
    for host in hosts:
        try:
            other = URL(host if "://" in host else f"{url.scheme}://{host}")
            root = other.origin()
        except ValueError:
            root = None
        if root is None or other not in (root, root / "") or other.scheme not in SCHEMES:
            raise StorageOptionError(f"{TRUSTED_HOSTS}: write host, host:port or https://host:port")
        found.add(origin_of(root))
    return frozenset(found)
