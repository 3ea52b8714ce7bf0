"""Origins of URLs, and those that a user trusts with what is configured for one of them.

Pure, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from yarl import URL

from ..errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SCHEMES", "TRUSTED_HOSTS", "Origin", "origin_of", "trusted_origins"]

SCHEMES = ("http", "https")
#: The option that names the hosts which get what the user configured when a server redirects there.
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
    url : URL
        The root of the store.
    hosts : iterable of str
        ``host`` or ``host:port``, for the scheme of the store, or ``scheme://host:port``.

    Raises
    ------
    StorageOptionError
        When one of them is not written so.
    """
    found = {origin_of(url)}
    for host in hosts:
        try:
            other = URL(host if "://" in host else f"{url.scheme}://{host}")
            plain = other.origin()
        except ValueError:
            plain = None
        if plain is None or other not in (plain, plain / "") or other.scheme not in SCHEMES:
            raise StorageOptionError(f"{TRUSTED_HOSTS}: write host, host:port or https://host:port")
        found.add(origin_of(plain))
    return frozenset(found)
