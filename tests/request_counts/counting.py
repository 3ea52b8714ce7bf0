"""Counting of a store's requests, as the server's side sees them and as the store says itself.

Knows the proxy, and nothing of services or operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from servers.fault_proxy import FaultProxy, Seen

from fsspec_store import FsspecStore


@contextmanager
def counting(proxy: FaultProxy, store: FsspecStore) -> Iterator[list[Seen]]:
    """The requests that come in during the block, which has to be all that the store says it sent.

    Nobody but the store may send any meanwhile.
    """
    before = store.stats.requests
    with proxy.watching() as seen:
        yield seen
    assert store.stats.requests - before == len(seen), seen
    assert store.stats.retries == 0


def methods(seen: Sequence[Seen]) -> list[str]:
    return [request.method for request in seen]


def query(request: Seen) -> dict[str, list[str]]:
    """The query of a request's target, by name."""
    return parse_qs(urlsplit(request.target).query, keep_blank_values=True)
