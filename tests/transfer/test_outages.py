"""A service that goes away during a transfer, or that denies access to all keys, stops it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli.running import run
from servers import S3Endpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, fault_proxy

from fsspec_store import FsspecStore
from fsspec_store.contract import Reader
from fsspec_store.errors import AccessDeniedError, UnreachableError
from fsspec_store.transfer import Plan, Result, apply, copy, plan, remove, sync, verify
from fsspec_store.transfer.outage import Outage

from .stores import contents, filled, store_with

DENIED = Answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
EXPIRED = Answer(400, {}, b"<Error><Code>ExpiredToken</Code><Message>old</Message></Error>")
BROKEN = Answer(500, {}, b"<Error><Code>InternalError</Code><Message>no</Message></Error>")
VALUES = {f"a/c/{number:03}": b"%d" % number for number in range(120)} | {"a/zarr.json": b"array"}
CONCURRENCY = 4
#: Keys in a row that fail before a transfer stops.
IN_A_ROW = 10
#: Requests on their way when the service goes away may still succeed, each between two failures.
MOST = (IN_A_ROW + 1) * CONCURRENCY


@pytest.fixture
def direct(url: str, endpoint: S3Endpoint) -> FsspecStore:
    return FsspecStore.from_url(url, endpoint.storage_options())


def behind(url: str, endpoint: S3Endpoint, proxy: FaultProxy) -> FsspecStore:
    """The same place through a proxy, without retries."""
    options = {**endpoint.storage_options(), "endpoint_url": proxy.url}
    return FsspecStore.from_url(url, options, retries=0)


@pytest.fixture
def store(url: str, endpoint: S3Endpoint, proxy: FaultProxy) -> FsspecStore:
    return behind(url, endpoint, proxy)


def on(fault: Any, *methods: str, key: str = "/a/") -> Callable[..., Any]:
    """A plan of the proxy: a fault for each request for a value by one of these methods."""

    def planned(method: str, target: str, headers: Mapping[str, str]) -> Any:
        return fault if method in methods and re.search(key, target) else None

    return planned


def check_counts(result: Result) -> None:
    done = result.copied + result.deleted
    undone = result.failed + result.held_back + result.deletes_skipped + result.not_tried
    assert result.planned == done + undone
    assert not result.ok


@pytest.mark.parametrize("function", [copy, sync, apply])
async def test_a_service_that_goes_away_stops_a_transfer(
    function: Any, url: str, endpoint: S3Endpoint, direct: FsspecStore
) -> None:
    source = await store_with(VALUES)
    async with direct:
        await filled(direct, {"extra": b""})
        with ExitStack() as plans, ExitStack() as away:
            proxy = away.enter_context(fault_proxy(endpoint.url))
            async with behind(url, endpoint, proxy) as target:
                options: dict[str, Any] = {} if function is copy else {"max_delete": 1}
                options["concurrency"] = CONCURRENCY
                transfer = partial(function, source, target, **options)
                if function is apply:
                    planned = plans.enter_context(await plan(source, target, delete=True))
                    transfer = partial(apply, planned, source, target, **options)

                def leave(result: Result) -> None:
                    if result.copied == 20:
                        away.close()

                result = await transfer(on_progress=leave)
        assert isinstance(result.stopped_by, UnreachableError)
        assert result.copied >= 20
        assert IN_A_ROW <= result.failed <= MOST
        assert result.not_tried + result.held_back + result.failed == len(result.not_copied)
        assert result.deletes_skipped == (function is not copy)
        check_counts(result)
        assert "extra" in await contents(direct)
        if function is copy:
            with Plan.of(source, direct, result.not_copied) as left:
                again = await apply(left, source, direct)
        else:
            again = await sync(source, direct)
        assert again.ok
        # Those on their way at the end may be stored too.
        assert 0 <= len(VALUES) - result.copied - again.copied <= CONCURRENCY
        found = await contents(direct)
        assert {key: found[key] for key in VALUES} == VALUES


@pytest.mark.parametrize("fault", [DENIED, EXPIRED])
async def test_access_that_is_denied_for_all_keys_stops_a_transfer(
    fault: Answer, store: FsspecStore, proxy: FaultProxy
) -> None:
    source = await store_with(VALUES)

    def expire(result: Result) -> None:
        if result.copied == 20:
            proxy.plan = on(fault, "PUT", "GET", "HEAD")

    async with store:
        result = await sync(source, store, concurrency=CONCURRENCY, on_progress=expire)
        assert isinstance(result.stopped_by, AccessDeniedError)
        assert IN_A_ROW <= result.failed <= MOST
        check_counts(result)
        proxy.plan = on(None)
        assert (await sync(source, store)).ok
        assert await contents(store) == VALUES


@pytest.mark.parametrize(
    ("fault", "key"), [(DENIED, "5$"), (Fault.RESET, "5$"), (BROKEN, "/c/"), (DENIED, "/c/00")]
)
async def test_failures_of_single_keys_stop_nothing(
    fault: Any, key: str, store: FsspecStore, proxy: FaultProxy
) -> None:
    """Not in a row, of the service and not of the connection, or of few keys."""
    source = await store_with(VALUES)
    proxy.plan = on(fault, "PUT", key=key)
    async with store:
        result = await copy(source, store, concurrency=1 if key == "5$" else 11)
    assert result.stopped_by is None
    assert result.not_tried == 0
    failed = sum(re.search(key, each) is not None for each in VALUES)
    assert (result.failed, result.held_back) == (failed, 1)


async def test_files_that_may_not_be_read_stop_nothing() -> None:
    class Unreadable(FsspecStore):
        def open_reader(self, key: str, **options: Any) -> Reader:
            if key < "a/c/100":
                raise AccessDeniedError("access denied", key=key, url=self.url)
            return super().open_reader(key, **options)

    source = await filled(Unreadable.from_url("memory://transfer/unreadable"), VALUES)
    target = FsspecStore.from_url("memory://transfer/readable")
    result = await copy(source, target, compare="bytes")
    # Copies within the memory read nothing.
    assert result.ok
    result = await verify(source, target, compare="bytes")
    assert (result.failed, result.equal, result.stopped_by) == (100, 21, None)


async def test_deletes_stop(store: FsspecStore, proxy: FaultProxy) -> None:
    async with store:
        await filled(store, VALUES)
        proxy.plan = lambda method, target, headers: (
            Fault.RESET if method in ("POST", "DELETE") else None
        )
        result = await remove(store, max_delete=1.0, concurrency=CONCURRENCY)
        assert isinstance(result.stopped_by, UnreachableError)
        # The metadata is deleted first, by a request of its own.
        assert IN_A_ROW <= result.failed <= MOST
        check_counts(result)
        assert result.not_tried > 100
        assert await contents(store) == VALUES
        proxy.plan = on(None)
        assert (await remove(store, max_delete=1.0)).ok


async def test_comparisons_stop(store: FsspecStore, proxy: FaultProxy) -> None:
    source = await store_with(VALUES)
    async with store:
        await filled(store, VALUES)
        proxy.plan = on(Fault.RESET, "GET")
        options: dict[str, Any] = {"compare": "bytes", "concurrency": CONCURRENCY}
        result = await verify(source, store, **options)
        assert isinstance(result.stopped_by, UnreachableError)
        assert IN_A_ROW <= result.failed <= MOST
        assert not result.is_listed
        assert (result.equal, result.differing, result.ok) == (0, 0, False)
        with pytest.raises(UnreachableError):
            await plan(source, store, **options)
        await source.delete("a/c/119")
        # An incomplete listing proves no number of deletes, and deletes nothing.
        result = await sync(source, store, **options)
        assert (result.copied, result.deleted, result.deletes_skipped) == (0, 0, 0)
        assert isinstance(result.stopped_by, UnreachableError)
        proxy.plan = on(None)
        assert set(await contents(store)) == VALUES.keys()


async def test_comparisons_of_local_values_stop(
    store: FsspecStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    """They are read in groups: the rest of a group is not tried."""
    changed = {key: bytes(len(value)) for key, value in VALUES.items()}
    source = await filled(FsspecStore.from_url(str(tmp_path)), changed)
    async with store:
        await filled(store, VALUES)
        proxy.plan = on(Fault.RESET, "GET")
        result = await verify(source, store, concurrency=CONCURRENCY)
    assert isinstance(result.stopped_by, UnreachableError)
    assert IN_A_ROW <= result.failed <= MOST
    assert result.failed + result.not_tried == result.listed


async def test_nothing_at_the_root_of_an_atomic_copy_that_stops(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    source = await store_with({**VALUES, "zarr.json": b"group"})
    proxy.plan = on(Fault.RESET, "PUT")
    async with store:
        result = await copy(source, store, atomic=True, concurrency=CONCURRENCY)
        assert isinstance(result.stopped_by, UnreachableError)
        check_counts(result)
        assert await contents(store) == {}


@pytest.mark.parametrize("fault", [pytest.param(DENIED, marks=pytest.mark.slow), Fault.RESET])
async def test_batches_on_a_cluster_stop(
    fault: Any, cluster: Any, store: FsspecStore, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = {f"a/c/{number:04}": b"%d" % number for number in range(800)} | {"a/zarr.json": b""}
    source = await filled(FsspecStore.from_url(str(tmp_path)), data)
    proxy.plan = on(fault, "PUT", "GET")
    options: dict[str, Any] = {"client": cluster, "concurrency": CONCURRENCY}
    async with store:
        result = await copy(source, store, **options)
        assert isinstance(result.stopped_by, AccessDeniedError | UnreachableError)
        # The rest of each batch of 100 keys is not tried.
        assert IN_A_ROW <= result.failed < 8 * (IN_A_ROW + CONCURRENCY)
        check_counts(result)
        assert await contents(store) == {}
        proxy.plan = on(None)
        # Tasks that ran at the end may have copied some.
        assert (await copy(source, store, **options)).ok
        assert await contents(store) == data
        proxy.plan = on(fault, "GET")
        result = await verify(source, store, compare="bytes", **options)
        assert result.stopped_by is not None
        assert result.not_tried > 0
        assert (result.equal, result.differing) == (1, 0)


async def test_tasks_on_their_way_are_dropped() -> None:
    """A task that waits for a worker would have to fail first, after all its retries."""
    outage = Outage(Result())
    assert await outage.unless_stopped(asyncio.sleep(0, "done")) == "done"
    waiting = asyncio.create_task(outage.unless_stopped(asyncio.Event().wait()))
    interrupted = asyncio.create_task(outage.unless_stopped(asyncio.Event().wait()))
    await asyncio.sleep(0)
    interrupted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await interrupted
    outage.stop(UnreachableError("away"))
    assert await waiting is None


class TestCommand:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        (tmp_path / "a/c").mkdir(parents=True)
        for key, value in VALUES.items():
            (tmp_path / key).write_bytes(value)
        return tmp_path

    @pytest.fixture
    def options(self, endpoint: S3Endpoint, proxy: FaultProxy) -> list[str]:
        options = replace(endpoint, url=proxy.url)
        given = {"key": options.key, "secret": options.secret}
        words = [word for name in given for word in ("--option", f"{name}={given[name]}")]
        return [*words, "--endpoint-url", options.url]

    def test_denied(
        self, source: Path, url: str, options: list[str], proxy: FaultProxy, tmp_path: Path
    ) -> None:
        proxy.plan = on(DENIED, "PUT")
        dst = [word.replace("--", "--dst-", 1) for word in options]
        page = tmp_path / "page.html"
        ended = run("sync", "--html", page, "--exclude", "*.html", *dst, source, url)
        assert ended.code == 4
        assert " keys not tried\n" in ended.err
        last = ended.err.splitlines()[-1]
        assert last.startswith("fsspec-store: stopped: access denied: cannot write 'a/c/")
        assert "The transfer stopped: access denied" in page.read_text()
        [document] = run("sync", "--json", *dst, source, url).documents
        assert document["not_tried"] > 0
        assert document["stopped_by"].startswith("access denied: ")
        proxy.plan = on(None)
        assert run("sync", *dst, source, url).code == 0
        proxy.plan = on(DENIED, "GET", "DELETE", "POST", key=r"/a/|delete")
        for line in (
            ("rm", "-r", "--yes", *options, url),
            ("verify", "--compare", "bytes", *dst, source, url),
        ):
            ended = run(*line)
            assert ended.code == 4
            assert ended.err.splitlines()[-1].startswith("fsspec-store: stopped: access denied")

    @pytest.mark.slow
    def test_away_by_default_settings(
        self, source: Path, url: str, options: list[str], proxy: FaultProxy
    ) -> None:
        dst = [word.replace("--", "--dst-", 1) for word in options]
        src = [word.replace("--", "--src-", 1) for word in options]
        assert run("sync", *dst, source, url).code == 0
        proxy.plan = on(Fault.RESET, "GET")
        for line in (
            ("verify", "--compare", "bytes", *dst, source, url),
            ("cp", *src, url, source / "copied"),
        ):
            ended = run(*line)
            assert ended.code == 6, ended.err
            assert "fsspec-store: stopped: " in ended.err
        proxy.plan = on(None)
        assert run("cp", *src, url, source / "copied").code == 0
