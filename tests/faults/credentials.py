"""Rules of credentials that the service rejects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from servers.fault_proxy import FaultProxy, Plan

from fsspec_store import FsspecStore
from fsspec_store.errors import AccessDeniedError

from .protocol import Rules


@dataclass
class Rotating:
    """A store whose credentials come from a source that changes.

    Parameters
    ----------
    store : FsspecStore
        Its first credentials are rejected.
    rejects : Plan
        The responses to requests with the first credentials.
    rotate : callable
        Put other credentials into the source, which the service accepts.
    """

    store: FsspecStore
    rejects: Plan
    rotate: Callable[[], None]


class CredentialRules(Rules):
    async def test_rejected_credentials_are_refreshed_once(
        self, rotating: Rotating, proxy: FaultProxy
    ) -> None:
        store = rotating.store
        proxy.plan = rotating.rejects
        with proxy.watching() as seen, pytest.raises(AccessDeniedError):
            await store.is_empty("")
        # One request, and one after the credentials were refreshed.
        assert len(seen) == 2
        rotating.rotate()
        with proxy.watching() as seen:
            assert all(await asyncio.gather(*(store.is_empty("") for _ in range(20))))
        assert [request.fault for request in seen].count(None) == 20
        with proxy.watching() as seen:
            assert await store.is_empty("")
        assert len(seen) == 1
        await store.aclose()
