"""Rules of reads, and of all requests, when the service fails."""

from __future__ import annotations

from typing import Any

import pytest
from conformance.support import MakeStore, content, listed, read
from servers.fault_proxy import Answer, Fault, FaultProxy, the_first

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError

from .protocol import Rules, always, each_once

DATA = b"0123456789"
FAULTS = [Fault.RESET, Fault.LOST, Fault.TRUNCATED]


class ReadingRules(Rules):
    @pytest.mark.parametrize(
        "request_",
        [None, RangeByteRequest(10, 90_000), OffsetByteRequest(5), SuffixByteRequest(50_000)],
        ids=str,
    )
    async def test_a_truncated_body_is_read_again(
        self, make_store: MakeStore, proxy: FaultProxy, request_: Any
    ) -> None:
        await self.fill(make_store, {"a": content(100_000)})
        store = make_store(retries=2)
        whole = await read(store, "a", request_)
        proxy.plan = the_first(2, Fault.TRUNCATED, method="GET")
        assert await read(store, "a", request_) == whole
        assert store.stats.retries == 2
        proxy.plan = always(Fault.TRUNCATED)
        with pytest.raises(BackendError):
            await store.get("a", byte_range=request_)

    @pytest.mark.parametrize("fault", [*FAULTS, 500])
    async def test_a_transient_failure_of_a_read_is_retried(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault | int
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        strike = self.protocol.error(fault) if isinstance(fault, int) else fault
        store = make_store()
        for use, expected in (
            (lambda: read(store, "a"), DATA),
            (lambda: read(store, "a", RangeByteRequest(2, 5)), DATA[2:5]),
            (lambda: read(store, "a", SuffixByteRequest(3)), DATA[-3:]),
            (lambda: store.exists("a"), True),
            (lambda: store.getsize("a"), len(DATA)),
            (lambda: listed(store.list()), ["a"]),
        ):
            proxy.plan = the_first(1, strike)
            with proxy.watching() as seen:
                assert await use() == expected
            assert [request.fault for request in seen[:2]] == [strike, None]

    @pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 507, 520, 530, 599])
    async def test_a_transient_status_is_retried(
        self, make_store: MakeStore, proxy: FaultProxy, status: int
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store()
        proxy.plan = the_first(1, self.protocol.error(status))
        assert await read(store, "a") == DATA
        assert store.stats.retries == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 501, 505])
    async def test_a_permanent_error_is_not_retried(
        self, make_store: MakeStore, proxy: FaultProxy, status: int
    ) -> None:
        store = make_store()
        proxy.plan = always(self.protocol.error(status))
        error = AccessDeniedError if status in (401, 403) else BackendError
        for use in (lambda: store.get("a"), lambda: store.exists("a")):
            with pytest.raises(error):
                await use()
        assert store.stats.retries == 0

    async def test_zero_retries_send_one_request(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store(retries=0)
        assert await read(store, "a") == DATA
        for fault in (
            Fault.RESET,
            Fault.TRUNCATED,
            self.protocol.error(503),
            self.protocol.error(500),
        ):
            proxy.plan = always(fault)
            with proxy.watching() as seen, pytest.raises(BackendError):
                await store.get("a")
            assert len(seen) == 1

    async def test_throttled_requests_are_counted_and_retried(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store = make_store()
        for number, status in enumerate((503, 429), 1):
            proxy.plan = the_first(2, self.protocol.error(status))
            assert await read(store, "a") == DATA
            assert store.stats.throttled == store.stats.retries == 2 * number

    async def test_no_request_is_sent_before_the_stated_time(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store(timeout=20)
        answer = self.protocol.error(503)
        # Longer than a store waits.
        proxy.plan = always(Answer(503, {**answer.headers, "Retry-After": "3600"}, answer.body))
        with proxy.watching() as seen, pytest.raises(BackendError):
            await store.get("a")
        assert len(seen) == 1

    async def test_a_server_that_never_responds_is_a_clear_error(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store(timeout=0.5, retries=1)
        proxy.plan = always(Fault.DELAYED)
        with pytest.raises(BackendError, match=r"cannot read 'a' in .*tried 2 times in"):
            await store.get("a")
        assert store.stats.requests == 2

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(206, {}, b"x" * 100),
            Answer(206, {"Content-Range": "bytes 0-99/5000"}, b"x" * 100),
            Answer(206, {"Content-Range": "bytes 10-109/5000"}, b"x" * 99),
            Answer(206, {"Content-Range": "bytes 10-108/5000"}, b"x" * 99),
            Answer(206, {"Content-Range": "bytes 10-110/5000"}, b"x" * 101),
            Answer(206, {"Content-Range": "10-109"}, b"x" * 100),
            Answer(206, {"Content-Range": "bytes 10-109/5000"}, b""),
        ],
        ids=lambda answer: f"{answer.headers.get('Content-Range')} with {len(answer.body)}",
    )
    async def test_another_part_than_the_requested_one_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy, answer: Answer
    ) -> None:
        await self.fill(make_store, {"a": content(5000)})
        store = make_store(retries=1)
        proxy.plan = always(answer)
        with pytest.raises(BackendError):
            await store.get("a", byte_range=RangeByteRequest(10, 110))
        proxy.plan = the_first(1, answer)
        assert await read(store, "a", RangeByteRequest(10, 110)) == content(5000)[10:110]

    async def test_the_whole_value_in_place_of_a_part_is_cut(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        store = make_store()
        proxy.plan = always(Answer(200, {"ETag": '"1"'}, DATA))
        assert await read(store, "a", RangeByteRequest(2, 4)) == b"23"
        assert await read(store, "a", OffsetByteRequest(7)) == b"789"

    async def test_403_may_mean_missing_on_reads(
        self, make_store: MakeStore, proxy: FaultProxy
    ) -> None:
        await self.fill(make_store, {"a": DATA})
        store, strict = make_store(missing_on_forbidden=True), make_store()
        assert await read(store, "a") == await read(strict, "a") == DATA
        proxy.plan = always(self.protocol.error(403))
        assert await store.get("a") is None
        assert not await store.exists("a")
        with pytest.raises(FileNotFoundError):
            await store.getsize("a")
        parts = [("a", RangeByteRequest(0, 1)), ("b", None)]
        assert await store.get_partial_values(None, parts) == [None, None]
        assert store.stats.forbidden_as_missing == 5
        with pytest.raises(AccessDeniedError):
            await listed(store.list())
        for use in (strict.get("a"), strict.exists("a"), strict.getsize("a")):
            with pytest.raises(AccessDeniedError, match="'a'"):
                await use
        assert strict.stats.forbidden_as_missing == 0


class LargeReadingRules(Rules):
    """Rules of services that identify the version of a value, so that it is read in parts."""

    @pytest.mark.parametrize("fault", [Fault.RESET, 500])
    async def test_all_requests_for_a_large_value_share_the_retries(
        self, make_store: MakeStore, proxy: FaultProxy, fault: Fault | int
    ) -> None:
        strike = self.protocol.error(fault) if isinstance(fault, int) else fault
        part_bytes = max(self.protocol.part_bytes, 2**18)
        data = content(5 * part_bytes)
        await self.fill(make_store, {"a": data})
        parts = {"large_value_bytes": part_bytes, "part_bytes": part_bytes}
        store, patient = make_store(retries=2, **parts), make_store(retries=30, **parts)
        proxy.plan = each_once(strike)
        with pytest.raises(BackendError):
            await store.get("a")
        assert store.stats.retries == 2
        proxy.plan = each_once(strike)
        assert await read(patient, "a") == data
        # One request for the value, and some for its last parts.
        assert patient.stats.retries > 2
