"""Requests to a WebDAV server, which lists a folder at a time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.support import MakeStore, buf, listed
from servers.fault_proxy import FaultProxy
from servers.webdav import WebDAVEndpoint

from fsspec_store import FsspecStore

from .counting import closing_all, counting, methods
from .rules import DATA, ReadingRules

_places = itertools.count()


@pytest.fixture(params=["apache_endpoint", "rclone_webdav_endpoint"])
def endpoint(request: pytest.FixtureRequest) -> WebDAVEndpoint:
    endpoint: WebDAVEndpoint = request.getfixturevalue(request.param)
    return endpoint


@pytest.fixture
def make_store(endpoint: WebDAVEndpoint, proxy: FaultProxy) -> Iterator[Any]:
    options = dataclasses.replace(endpoint, url=proxy.url).storage_options()
    url = f"webdav://counted-{next(_places)}"
    with closing_all(lambda **more: FsspecStore.from_url(url, options, **more)) as make:
        yield make


class TestWebDAV(ReadingRules):
    async def test_writing(
        self, make_store: MakeStore, proxy: FaultProxy, endpoint: WebDAVEndpoint
    ) -> None:
        await self.fill(make_store, {"a/b": DATA})
        store = make_store()
        # Apache itself writes to a temporary file and renames it.
        is_apache = "apache" in str(endpoint.folder)
        with counting(proxy, store) as seen:
            await store.set("a/c", buf(DATA))
        assert methods(seen) == ["OPTIONS", "PUT"] + ([] if is_apache else ["MOVE"])
        with counting(proxy, store) as seen:
            await store.set("a/d", buf(DATA))
        assert methods(seen) == (["PUT"] if is_apache else ["PUT", "MOVE"])
        with counting(proxy, store) as seen:
            await store.set("a/d", buf(DATA))
        assert methods(seen) == (["PUT"] if is_apache else ["PUT", "MOVE", "PROPFIND", "MOVE"])
        with counting(proxy, store) as seen:
            await store.set_if_not_exists("a/e", buf(DATA))
        assert methods(seen) == ["PROPFIND", "PUT", "LOCK", "MOVE", "DELETE", "UNLOCK"]
        with counting(proxy, store) as seen:
            await store.set_if_not_exists("a/e", buf(b"other"))
        assert methods(seen) == ["PROPFIND"]

    async def test_deleting(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        await self.fill(make_store, {f"a/b/{number}": DATA for number in range(20)})
        store = make_store()
        with counting(proxy, store) as seen:
            await store.delete("a/b/0")
        assert methods(seen) == ["PROPFIND", "DELETE"]
        with counting(proxy, store) as seen:
            await store.delete("a/b/0")
        assert methods(seen) == ["PROPFIND"]
        with counting(proxy, store) as seen:
            await store.delete_dir("a/b")
        assert methods(seen) == ["PROPFIND", "DELETE"]
        assert await listed(store.list()) == []

    async def test_a_listing_is_one_request_a_folder(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        keys = [f"{folder}/{name}" for folder in ("a", "a/b", "c") for name in range(20)]
        await self.fill(make_store, dict.fromkeys(keys, DATA))
        store = make_store()
        with counting(proxy, store) as seen:
            assert await listed(store.list()) == sorted(keys)
        assert methods(seen) == ["PROPFIND"] * 4
        with counting(proxy, store) as seen:
            assert await store.getsize_prefix("a/b") == 20 * len(DATA)
        assert methods(seen) == ["PROPFIND"]
