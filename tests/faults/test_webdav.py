"""Faults of WebDAV servers."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from contextlib import nullcontext
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from conformance.support import MakeStore, buf, content, listed, put, read
from proxied import OnApache, OnRclone, OnWsgidav
from servers.fault_proxy import Answer, Fault, FaultProxy, Plan, the_first
from servers.webdav import WebDAVEndpoint

from fsspec_store.errors import AccessDeniedError, BackendError
from fsspec_store.limiter import limiter_for

from . import Protocol, WriteFaultConformance


def always(fault: Answer, *, method: str) -> Plan:
    """Each request of a method meets a fault."""
    return lambda sent, target, headers: fault if sent == method else None


def replacing(fault: Answer | Fault) -> Plan:
    """The first MOVE that replaces its destination meets a fault."""
    faults = iter([fault])
    return lambda method, target, headers: (
        next(faults, None) if headers.get("overwrite") == "T" else None
    )


class LockRules:
    """Rules of creations, which hold a lock."""

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
    async def test_a_lock_whose_response_was_lost_expires_soon(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        proxy.plan = the_first(1, fault, method="LOCK")
        with proxy.watching() as seen:
            await store.set_if_not_exists("a/b", buf(b"value"))
        assert [each.fault for each in seen].count(fault) == 1
        assert await read(store, "a/b") == b"value"

    async def test_a_folder_with_a_locked_file_is_removed_when_the_lock_expires(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        faults = iter([Fault.LOST])
        proxy.plan = lambda method, target, headers: (
            next(faults, Answer(403)) if method == "LOCK" else None
        )
        with pytest.raises(AccessDeniedError):
            await make_store(timeout=1).set_if_not_exists("a/b", buf(b"value"))
        store = make_store()
        await put(store, "a/c")
        await store.delete_dir("a")
        assert await listed(store.list_dir("")) == []


def multistatus(*hrefs: str) -> Answer:
    """A listing of files, and of collections, which end in ``/``."""
    kinds = {True: "<d:collection/>", False: ""}
    found = "".join(
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop><d:resourcetype>"
        f"{kinds[href.endswith('/')]}</d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status>"
        "</d:propstat></d:response>"
        for href in hrefs
    )
    return Answer(207, {}, f'<d:multistatus xmlns:d="DAV:">{found}</d:multistatus>'.encode())


class ResponseRules:
    """Rules of responses that are not the expected ones."""

    async def test_what_is_listed_elsewhere_is_neither_listed_nor_deleted(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a", "b/c")
        root = f"/{store.path}"
        others = ("/other", "/other/", "/", f"{root}/b/c", f"{root}/../other", f"{root}/..")
        proxy.plan = lambda method, target, headers: (
            multistatus(f"{root}/", f"{root}/a", *others)
            if method == "PROPFIND" and target == f"{root}/"
            else None
        )
        assert await listed(store.list()) == ["a"]
        assert await listed(store.list_dir("")) == ["a"]
        with proxy.watching() as seen:
            await store.clear()
        assert [each.target for each in seen if each.method == "DELETE"] == [f"{root}/a"]

    async def test_a_listing_of_another_collection_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a", "b/c")
        for response in (multistatus("/other/", f"/{store.path}/a"), multistatus()):
            proxy.plan = always(response, method="PROPFIND")
            with proxy.watching() as seen:
                for use in (
                    lambda: store.exists("b"),
                    lambda: store.getsize("b"),
                    lambda: store.delete("b"),
                    lambda: store.delete_dir("b"),
                    lambda: store.clear(),
                    lambda: listed(store.list()),
                ):
                    with pytest.raises(BackendError, match="may belong to another path"):
                        await use()
            assert {each.method for each in seen} == {"PROPFIND"}

    async def test_a_listing_that_breaks_off_is_requested_again(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a")
        listing = multistatus(f"/{store.path}/")
        broken = dataclasses.replace(listing, body=listing.body + b"Internal Server Error")
        proxy.plan = the_first(1, broken, method="PROPFIND")
        assert await listed(store.list()) == ["a"]

    @pytest.mark.parametrize("method", ["MKCOL", "PUT", "MOVE", "DELETE", "LOCK", "OPTIONS"])
    async def test_a_page_of_a_proxy_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy, method: str
    ) -> None:
        await put(make_store(), "a", data=b"old")
        page = Answer(200, {"Content-Type": "text/html"}, b"<p>Log in")
        proxy.plan = always(page, method=method)
        store = make_store()

        async def use() -> None:
            await put(store, "new/a")
            await put(store, "a", data=b"new")
            await store.set_if_not_exists("b", buf(b"b"))
            await store.delete("a")

        with pytest.raises(BackendError, match="does not speak WebDAV"):
            await use()


class TestApache(OnApache, LockRules, ResponseRules, WriteFaultConformance):
    protocol = Protocol(deletes_by="DELETE")


class TestRclone(OnRclone, LockRules, ResponseRules, WriteFaultConformance):
    protocol = Protocol(
        deletes_by="DELETE", commits=lambda method, target, headers: method == "MOVE"
    )

    async def test_a_large_value_is_read_in_one_request(
        self, make_store: MakeStore, proxy: FaultProxy, endpoint: WebDAVEndpoint
    ) -> None:
        store = make_store(large_value_bytes=1, part_bytes=2**16)
        data = content(2**20)
        await put(store, "a", data=data)
        # As of a server with a strong ETag.
        os.utime(endpoint.folder / store.path / "a", (1e9, 1e9))
        with proxy.watching() as seen:
            assert await read(store, "a") == data
        assert [each.method for each in seen] == ["GET"]

    async def test_a_move_that_does_not_replace_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy, endpoint: WebDAVEndpoint
    ) -> None:
        store = make_store()
        await put(store, "a", data=b"old")
        proxy.plan = replacing(Answer(412))
        with pytest.raises(BackendError, match="412"):
            await put(store, "a", data=b"new")
        assert await read(store, "a") == b"old"
        assert [path.name for path in (endpoint.folder / store.path).iterdir()] == ["a"]

    @pytest.mark.parametrize("retries", [0, 1])
    async def test_a_move_that_is_processed_late_loses_no_value(
        self, make_store: MakeStore, proxy: FaultProxy, retries: int
    ) -> None:
        store = make_store(retries=retries)
        await put(store, "a", data=b"old")
        proxy.plan = replacing(Fault.RESET)
        with proxy.watching() as seen, nullcontext() if retries else pytest.raises(BackendError):
            await put(store, "a", data=b"new")
        (late,) = (each for each in seen if each.fault is Fault.RESET)
        connection = HTTPConnection(urlsplit(proxy.url).netloc)
        connection.request("MOVE", late.target, headers=dict(late.headers))
        assert connection.getresponse().status == 204
        connection.close()
        assert await read(store, "a") == b"new"

    async def test_a_lost_response_needs_no_second_request_in_flight(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        # As after throttling.
        limiter_for(proxy.url).most = limiter_for(proxy.url).limit = 1
        async with asyncio.timeout(60):
            proxy.plan = self.commit(Fault.LOST)
            await put(store, "a", data=b"a")
            proxy.plan = self.commit(Fault.LOST)
            await store.set_if_not_exists("b", buf(b"b"))
        assert await read(store, "a") + await read(store, "b") == b"ab"


class TestWsgidav(OnWsgidav, LockRules, ResponseRules):
    async def test_a_move_that_is_processed_late_is_not_an_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        # The response to the second request is 404: the temporary file was moved.
        proxy.plan = the_first(1, Fault.LOST, method="MOVE")
        await put(store, "a", data=b"value")
        assert await read(store, "a") == b"value"
