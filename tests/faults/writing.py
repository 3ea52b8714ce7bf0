"""Rules of writes when the service fails: lost responses, and values of other writers."""

from __future__ import annotations

from typing import Any

import pytest
from conformance.support import MakeStore, buf, content, listed, put, read, unless
from servers.fault_proxy import Fault, FaultProxy, no_faults, the_first

from fsspec_store import FsspecStore
from fsspec_store.errors import AccessDeniedError, BackendError, VersionMismatchError

from .protocol import Protocol, Rules, always, each_once
from .reading import FAULTS

lost = pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
in_parts = pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in parts"])


async def version_of(store: FsspecStore, key: str) -> str:
    found = await store.get_version(key)
    assert found is not None
    return found.version


def parts_maker(protocol: Protocol, make_store: MakeStore) -> Any:
    """Make stores that write a value in parts of the minimum size."""
    part_bytes = protocol.part_bytes
    return lambda **more: make_store(large_value_bytes=1, part_bytes=part_bytes, **more)


class WritingRules(Rules):
    @pytest.fixture
    def make_in_parts(self, make_store: MakeStore) -> Any:
        return parts_maker(self.protocol, make_store)

    @pytest.mark.parametrize("fault", [*FAULTS, 500, 520])
    async def test_a_transient_failure_of_a_write_is_retried(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault | int
    ) -> None:
        store = make_store()
        # A service may be probed before the first creation.
        await store.set_if_not_exists("first", buf(b"1"))
        await put(store, "c/1", "c/2")
        strike = self.protocol.error(fault) if isinstance(fault, int) else fault
        for use, method in (
            (lambda: put(store, "a"), None),
            (lambda: store.set_if_not_exists("b", buf(b"b")), None),
            (lambda: store.delete("first"), None),
            (lambda: store.delete_dir("c"), self.protocol.deletes_by),
        ):
            proxy.plan = the_first(1, strike, method=method)
            with proxy.watching() as seen:
                await use()
            sent = [each.fault for each in seen if method in (None, each.method)]
            assert sent[:2] == [strike, None]
        assert await read(store, "a") == b"a"
        assert await read(store, "b") == b"b"
        assert await listed(store.list()) == ["a", "b"]

    @lost
    async def test_a_write_whose_response_was_lost_succeeds(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        proxy.plan = self.commit(fault)
        await put(store, "a", data=b"value")
        assert await read(store, "a") == b"value"

    @lost
    async def test_a_creation_whose_response_was_lost_succeeds(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        backend, path = store._backend, f"{store.path}/a"
        await store.set_if_not_exists("first", buf(b"1"))
        proxy.plan = self.commit(fault)
        assert await backend.create(path, memoryview(b"mine")) is True
        assert await backend.create(path, memoryview(b"other")) is False
        proxy.plan = self.commit(fault)
        assert await backend.create(path, memoryview(b"other")) is False
        assert await read(store, "a") == b"mine"

    async def test_an_equal_value_of_another_writer_is_not_this_creation(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        backend, path = store._backend, f"{store.path}/a"
        await store.set_if_not_exists("a", buf(b"taken"))
        # The service processed no earlier attempt.
        proxy.plan = self.commit(self.protocol.error(429))
        assert await backend.create(path, memoryview(b"taken")) is False

    async def test_an_upload_in_parts_whose_last_response_was_lost_succeeds(
        self, make_in_parts: Any, proxy: FaultProxy
    ) -> None:
        store = make_in_parts()
        backend = store._backend
        await store.set_if_not_exists("first", buf(b"1"))
        data = content(self.protocol.part_bytes + 1000)
        for write in (
            lambda: put(store, "a", data=data),
            lambda: backend.create(f"{store.path}/b", memoryview(data)),
        ):
            proxy.plan = self.commit(Fault.LOST)
            with proxy.watching() as seen:
                assert await write() in (None, True)
            assert [request.fault for request in seen].count(Fault.LOST) == 1
        assert await read(store, "a") == await read(store, "b") == data
        assert [leftover async for leftover in store.list_leftovers()] == []
        # The first request of an upload.
        proxy.plan = the_first(1, Fault.LOST)
        await put(store, "c", data=data)
        assert await read(store, "c") == data

    async def test_a_failed_condition_of_an_unconditional_write_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        proxy.plan = always(self.protocol.error(412))
        with pytest.raises(BackendError):
            await put(store, "a")

    async def test_403_to_a_write_never_means_missing(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store(missing_on_forbidden=True)
        proxy.plan = always(self.protocol.error(403))
        for use in (put(store, "a"), store.delete("a"), store.delete_dir("a")):
            with pytest.raises(AccessDeniedError):
                await use
        assert store.stats.forbidden_as_missing == 0


class PartsRules(Rules):
    """Rules of services that store a value from its parts."""

    @pytest.fixture
    def make_in_parts(self, make_store: MakeStore) -> Any:
        return parts_maker(self.protocol, make_store)

    async def test_all_requests_of_an_upload_share_the_retries(
        self, make_in_parts: Any, proxy: FaultProxy
    ) -> None:
        data = content(2 * self.protocol.part_bytes + 1000)
        store, patient = make_in_parts(retries=2), make_in_parts(retries=30)
        proxy.plan = each_once(Fault.RESET)
        with pytest.raises(BackendError):
            await put(store, "a", data=data)
        proxy.plan = each_once(Fault.RESET)
        await put(patient, "a", data=data)
        assert patient.stats.retries > 2
        proxy.plan = no_faults
        assert await read(patient, "a") == data


class ReplacingRules(Rules):
    """Rules of services with compare-and-swap."""

    @pytest.fixture
    def make_in_parts(self, make_store: MakeStore) -> Any:
        return parts_maker(self.protocol, make_store)

    @lost
    async def test_a_replacement_whose_response_was_lost_succeeds(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store(timeout=1)
        await put(store, "a", data=b"first")
        version = await version_of(store, "a")
        await store.set("a", buf(b"second"), if_match=version)
        second = await version_of(store, "a")
        proxy.plan = self.commit(fault)
        await store.set("a", buf(b"third"), if_match=second)
        assert await read(store, "a") == b"third"
        proxy.plan = self.commit(fault)
        with pytest.raises(VersionMismatchError):
            await store.set("a", buf(b"fourth"), if_match=version)
        assert await read(store, "a") == b"third"

    @in_parts
    async def test_an_equal_value_of_another_writer_is_not_this_replacement(
        self, make_store: MakeStore, make_in_parts: Any, proxy: FaultProxy, in_parts: bool
    ) -> None:
        if in_parts:
            unless(self.protocol.condition_first)
        store = make_in_parts() if in_parts else make_store()
        await put(store, "lock", data=b"free")
        version = await version_of(store, "lock")
        await store.set("lock", buf(b"taken"), if_match=version)
        for _ in ("replaced", "missing"):
            # The request of the second writer does not arrive, and is retried.
            proxy.plan = self.commit(Fault.RESET)
            with proxy.watching() as seen, pytest.raises(VersionMismatchError):
                await store.set("lock", buf(b"taken"), if_match=version)
            assert [request.fault for request in seen].count(Fault.RESET) == 1
            proxy.plan = no_faults
            await store.delete("lock")
