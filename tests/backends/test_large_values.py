"""Large values: read in parts at the same time, and never put together of two."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

import pytest
from conformance.support import buf, content, read
from servers import HTTPEndpoint, S3Endpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, Seen, fault_proxy, no_faults

from fsspec_store import (
    FsspecStore,
    OffsetByteRequest,
    RangeByteRequest,
    StoreError,
    SuffixByteRequest,
)
from fsspec_store._http.limiter import _limiters as limiters
from fsspec_store.errors import VersionMismatchError

from .places import SERVICES, Place, s3

MIB = 2**20
SIZE = 20 * MIB + 12345
#: Options of stores: the parts of uploads to S3 have at least 5 MiB.
PARTS = {"large_value_bytes": 16 * MIB, "part_bytes": 5 * MIB}
#: What is kept beside a value at most, in bytes: what is on its way, and modules of a first use.
BOUND = 12 * MIB

DATA = content(SIZE)


@pytest.fixture(
    scope="module",
    params=[
        # Those that aiohttp reads are run by "web" as well.
        pytest.param(name, marks=[pytest.mark.slow] * (name == "google by aiohttp"))
        for name in SERVICES
    ],
)
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def place(service: str, request: pytest.FixtureRequest) -> Place:
    """With one large value, ``a``, that no test replaces."""
    fixture, make = SERVICES[service]
    made = make(request.getfixturevalue(fixture))
    made.put("a", DATA)
    return made


@pytest.fixture
def proxy(place: Place) -> Iterator[FaultProxy]:
    with fault_proxy(place.server) as running:
        yield running


@pytest.fixture
async def store(place: Place, proxy: FaultProxy) -> Any:
    async with place.open(proxy.url, **PARTS) as store:
        # What a store finds out at first is not counted here.
        await store.exists("a")
        yield store


async def test_when_and_in_which_parts_is_an_option(place: Place, proxy: FaultProxy) -> None:
    async with place.open(proxy.url, large_value_bytes=SIZE) as store:
        await store.exists("a")
        with proxy.watching() as seen:
            assert await read(store, "a") == DATA
        assert [request.method for request in seen] == ["GET"]
    async with place.open(proxy.url, large_value_bytes=10 * MIB, part_bytes=5 * MIB) as store:
        with proxy.watching() as seen:
            assert await read(store, "a", RangeByteRequest(0, 10 * MIB)) == DATA[: 10 * MIB]
        assert not any(place.pin(request) for request in seen)
        with proxy.watching() as seen:
            assert await read(store, "a") == DATA
        wanted = [range_of(request) for request in seen if place.pin(request)]
        # Four parts and 12345 bytes, of which the first response brings at least one.
        assert 0 < len(wanted) <= 4
        assert {end - start for start, end in wanted} <= {5 * MIB, SIZE % (5 * MIB)}


def range_of(seen: Seen) -> tuple[int, int]:
    """The first byte of a part, and the one after the last."""
    text = seen.headers.get("x-ms-range") or seen.headers["range"]
    start, end = text.removeprefix("bytes=").split("-")
    return int(start), int(end) + 1


def parts_fail(place: Place, fail: Callable[[], Fault | Answer | None]) -> Any:
    """A plan: what befalls requests for parts."""

    def plan(method: str, target: str, headers: Any) -> Fault | Answer | None:
        return fail() if place.pin(Seen(method, target, headers, None)) else None

    return plan


@pytest.mark.parametrize(
    "request_",
    [
        None,
        RangeByteRequest(1000, SIZE - 1000),
        RangeByteRequest(1, 2 * SIZE),
        OffsetByteRequest(7),
        SuffixByteRequest(SIZE - 3),
    ],
    ids=repr,
)
async def test_a_large_value_is_read_in_parts_of_one_version(
    store: FsspecStore, place: Place, proxy: FaultProxy, request_: Any
) -> None:
    expected = {
        None: DATA,
        RangeByteRequest(1000, SIZE - 1000): DATA[1000:-1000],
        RangeByteRequest(1, 2 * SIZE): DATA[1:],
        OffsetByteRequest(7): DATA[7:],
        SuffixByteRequest(SIZE - 3): DATA[3:],
    }[request_]
    with proxy.watching() as seen:
        assert await read(store, "a", request_) == expected
    parts = [request for request in seen if place.pin(request) and request.method == "GET"]
    assert len(parts) >= 3
    # The last bytes of a blob on Azure are found by its size.
    first = [request for request in seen if request not in parts]
    assert len(first) <= 1
    assert all(request.status == 206 for request in parts)


async def test_one_request_at_a_time_is_enough(store: FsspecStore, proxy: FaultProxy) -> None:
    host = "/".join(proxy.url.split("/")[:3])
    # Another module's server, of another service, may have had this port.
    found = [limiter for name, limiter in limiters.items() if name.endswith(host)]
    for limiter in found:
        limiter.limit, limiter.most = 1.0, 1
    assert await asyncio.wait_for(read(store, "a"), 60) == DATA
    assert [limiter.in_flight for limiter in found] == [0] * max(len(found), 1)


async def test_parts_replace_a_first_response_that_breaks_off(
    store: FsspecStore, proxy: FaultProxy
) -> None:
    faults = itertools.chain([Fault.TRUNCATED], itertools.repeat(None))
    proxy.plan = lambda *_: next(faults)
    assert await read(store, "a") == DATA
    assert store.stats.retries == 0


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.RESET, Fault.TRUNCATED])
async def test_a_part_that_fails_is_requested_again(
    store: FsspecStore, place: Place, proxy: FaultProxy, fault: Fault
) -> None:
    faults = itertools.chain([fault], itertools.repeat(None))
    proxy.plan = parts_fail(place, lambda: next(faults))
    assert await read(store, "a") == DATA
    assert store.stats.retries == 1


async def test_a_value_replaced_while_it_is_read_is_one_of_the_two(
    store: FsspecStore, place: Place, proxy: FaultProxy
) -> None:
    place.put("changing", DATA)
    # Of another size: nginx tells versions of a second apart by nothing else.
    new = DATA[::-1] + b"!"
    versions = iter([new])

    def replace() -> None:
        for version in versions:
            place.put("changing", version)

    proxy.plan = parts_fail(place, replace)
    found = await store.get_version("changing") if store.supports_writes else None
    if found is None:
        assert await read(store, "changing") == new
    else:
        assert found.value.to_bytes() == new
        again = await store.get_version("changing")
        assert again is not None
        assert again.version == found.version


async def test_a_value_deleted_while_it_is_read_is_missing(
    store: FsspecStore, place: Place, proxy: FaultProxy, service: str
) -> None:
    place.put("leaving", DATA)
    gone = Answer(404, {"x-ms-error-code": "BlobNotFound"}, b"No such object")
    if service == "s3":
        gone = Answer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
    # From the first part on, for everybody who asks.
    is_gone = False

    def plan(method: str, target: str, headers: Any) -> Answer | None:
        nonlocal is_gone
        is_gone = is_gone or place.pin(Seen(method, target, headers, None))
        return gone if is_gone else None

    proxy.plan = plan
    assert await read(store, "leaving") is None


async def test_a_part_that_cannot_be_had_is_an_error(
    store: FsspecStore, place: Place, proxy: FaultProxy, service: str
) -> None:
    if service == "web":
        pytest.skip("what a web server refuses in parts is read as a whole")
    refused = Answer(403, {"x-ms-error-code": "AuthorizationFailure"}, b"<Error/>")
    proxy.plan = parts_fail(place, lambda: refused)
    with pytest.raises(StoreError):
        await read(store, "a")


async def test_a_whole_value_is_no_part(
    store: FsspecStore, place: Place, proxy: FaultProxy, service: str
) -> None:
    if service != "s3":
        pytest.skip("the version is stated in another header")
    version = await store.get_version("a")
    assert version is not None
    proxy.plan = parts_fail(place, lambda: Answer(200, {"ETag": version.version}, DATA))
    with proxy.watching() as seen:
        assert await read(store, "a") == DATA
    # Once with parts, and once as a whole.
    assert len([request for request in seen if not place.pin(request)]) == 2


async def test_a_server_that_ignores_conditions(rclone_endpoint: S3Endpoint) -> None:
    place = s3(rclone_endpoint)
    # A range comes without a checksum.
    whole = RangeByteRequest(0, SIZE)
    old, new = (bytes([letter]) * SIZE for letter in b"AB")
    with fault_proxy(place.server) as proxy:
        async with place.open(proxy.url, **PARTS) as store:
            place.put("a", old)
            with proxy.watching() as seen:
                assert await read(store, "a", whole) == old
            assert any(place.pin(request) for request in seen)
            versions = iter([new])

            def replace() -> None:
                for version in versions:
                    place.put("a", version)

            proxy.plan = parts_fail(place, replace)
            assert await read(store, "a", whole) == new


async def test_a_cancelled_read_leaves_nothing_behind(
    store: FsspecStore, place: Place, proxy: FaultProxy
) -> None:
    loop, stuck = asyncio.get_running_loop(), asyncio.Event()

    def get_stuck() -> Fault:
        loop.call_soon_threadsafe(stuck.set)
        return Fault.DELAYED

    proxy.plan = parts_fail(place, get_stuck)
    reading = asyncio.create_task(read(store, "a"))
    await stuck.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    host = "/".join(proxy.url.split("/")[:3])
    assert {found.in_flight for name, found in limiters.items() if host in name} == {0}
    proxy.plan = no_faults
    assert await read(store, "a", RangeByteRequest(0, 3)) == DATA[:3]


async def test_a_large_value_is_in_memory_once(place: Place) -> None:
    async with place.open(place.server, **PARTS) as store:
        await read(store, "a", RangeByteRequest(0, 1))
        tracemalloc.start()
        try:
            value = await store.get("a")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert value is not None
        assert value.as_buffer_like() == memoryview(DATA)
        assert peak < SIZE + BOUND
        if not store.supports_writes:
            return
        large = buf(DATA + DATA)
        tracemalloc.start()
        try:
            await store.set("b", large)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < BOUND
        assert await read(store, "b", RangeByteRequest(SIZE - 1, SIZE + 1)) == (
            DATA[-1:] + DATA[:1]
        )


# -- Streams ---------------------------------------------------------------------------------------


async def test_a_stream_is_read_in_parts_of_one_version(
    store: FsspecStore, place: Place, proxy: FaultProxy
) -> None:
    for start in (0, 9 * MIB):
        with proxy.watching() as seen:
            async with store.open_reader("a", start=start) as reader:
                parts = [part.to_bytes() async for part in reader]
        assert b"".join(parts) == DATA[start:]
        assert len(seen) == len(parts) == -(-(SIZE - start) // PARTS["part_bytes"])
        assert all(place.pin(request) for request in seen[1:])
        assert reader.size == SIZE
        assert isinstance(reader.version, str)
        assert reader.modified is not None
        assert reader.modified.tzinfo is UTC
    async with store.open_reader("a", version=reader.version) as same:
        assert (await anext(same)).to_bytes() == DATA[: PARTS["part_bytes"]]


@pytest.mark.parametrize("other", [DATA[::-1], b"short", None], ids=["replaced", "cut", "deleted"])
async def test_a_stream_ends_when_the_value_changes(
    store: FsspecStore, place: Place, other: bytes | None
) -> None:
    if other is None and not store.supports_deletes:
        pytest.skip("what a web server serves is deleted by no store")
    place.put("changing", DATA)
    parts = []

    async def read_all() -> None:
        async with store.open_reader("changing") as reader:
            parts.append((await anext(reader)).to_bytes())
            if other is None:
                await store.delete("changing")
            else:
                place.put("changing", other)
            while True:
                parts.append((await anext(reader)).to_bytes())

    with pytest.raises(VersionMismatchError, match=r"'changing' .* was changed or deleted"):
        await read_all()
    assert DATA.startswith(b"".join(parts))


# -- Checksums -------------------------------------------------------------------------------------


async def test_a_large_value_that_does_not_fit_its_checksum_is_read_again(
    store: FsspecStore, place: Place, proxy: FaultProxy, service: str
) -> None:
    google = "X-Goog-Generation", {"x-goog-hash": "crc32c=AAAAAA=="}
    azure = "ETag", {"Content-MD5": "A" * 22 + "==", "x-ms-blob-type": "BlockBlob"}
    checksums = {"google": google, "google by aiohttp": google, "azure": azure}
    if service not in checksums:
        pytest.skip("the service states none here")
    place.put("summed", DATA)
    with proxy.watching() as seen:
        version = await store.get_version("summed")
    assert version is not None
    assert len(seen) > 1
    name, stated = checksums[service]
    headers = {name: version.version, **stated}
    # The beginning of a value whose end, and whose checksum, are another's.
    first = iter([Answer(200, headers, b"?" * SIZE)])
    proxy.plan = lambda *_: next(first, None)
    with proxy.watching() as seen:
        assert await read(store, "summed") == DATA
    whole = [request for request in seen if not place.pin(request)]
    assert len(whole) == 2


@pytest.mark.parametrize(("size", "attempts"), [(MIB, 4), (12 * MIB, 5)], ids=["small", "large"])
async def test_a_value_that_is_always_corrupt_is_requested_a_bounded_number_of_times(
    place: Place, proxy: FaultProxy, service: str, size: int, attempts: int
) -> None:
    checksum = {
        "s3": {"x-amz-checksum-crc32": "AAAAAA=="},
        "google": {"x-goog-hash": "crc32c=AAAAAA=="},
    }.get(service)
    if checksum is None:
        pytest.skip("its checksums are verified by the same code")
    data = content(size)
    place.put("corrupt", data)
    store = place.open(proxy.url, retries=3, large_value_bytes=2 * MIB, part_bytes=5 * MIB)
    version = await store.get_version("corrupt")
    assert version is not None
    name = "X-Goog-Generation" if service == "google" else "ETag"
    corrupt = Answer(200, {name: version.version, **checksum}, b"?" * size)
    whole = []

    def plan(method: str, target: str, headers: Any) -> Answer | None:
        if "range" in headers:
            return None
        whole.append(target)
        return corrupt

    proxy.plan = plan
    async with store:
        with pytest.raises(StoreError, match="checksum"):
            await store.get("corrupt")
    # A large value is read once in parts, and then as often as a small one, in one response.
    assert len(whole) == attempts


# -- Web servers -----------------------------------------------------------------------------------

_NO_PARTS: list[dict[str, str]] = [
    {"ETag": '"one"'},
    {"Accept-Ranges": "none", "ETag": '"one"'},
    {"Accept-Ranges": "bytes"},
    {"Accept-Ranges": "bytes", "ETag": 'W/"one"'},
    {
        "Accept-Ranges": "bytes",
        "ETag": '"one"',
        "Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT",
        "Date": "Sat, 28 Nov 2026 10:00:01 GMT",
    },
    {"Accept-Ranges": "bytes", "ETag": '"one"', "Last-Modified": "Sat, 28 Nov 2026 10:00:00 GMT"},
]


@pytest.mark.parametrize("headers", _NO_PARTS, ids=repr)
async def test_a_web_server_without_support_for_parts_gets_one_request(
    nginx_endpoint: HTTPEndpoint, headers: dict[str, str]
) -> None:
    with fault_proxy(nginx_endpoint.url) as proxy:
        proxy.plan = lambda *_: Answer(200, headers, DATA)
        async with FsspecStore.from_url(proxy.url, **PARTS) as store:
            await store.exists("a")
            with proxy.watching() as seen:
                assert await read(store, "a") == DATA
            assert len(seen) == 1


async def test_files_of_equal_time_and_size_are_never_mixed(
    nginx_endpoint: HTTPEndpoint,
) -> None:
    folder = nginx_endpoint.folder / "files-of-equal-time"
    folder.mkdir()
    # nginx computes the same ETag for both. They may change again within this second.
    now = time.time() + 3600
    for name, letter in (("a", b"A"), ("next", b"B")):
        (folder / name).write_bytes(letter * SIZE)
        os.utime(folder / name, (now, now))
    requests = itertools.count()

    def replace(method: str, target: str, headers: Any) -> None:
        # A part of the first read if there are parts, else the second read.
        if target.endswith("/a") and next(requests) == 1:
            os.replace(folder / "next", folder / "a")

    with fault_proxy(nginx_endpoint.url) as proxy:
        async with FsspecStore.from_url(f"{proxy.url}/{folder.name}", **PARTS) as store:
            proxy.plan = replace
            assert await read(store, "a") == b"A" * SIZE
            assert await read(store, "a") == b"B" * SIZE


@pytest.mark.parametrize(
    "part",
    [
        Answer(200, {"ETag": '"one"'}, DATA),
        Answer(206, {"ETag": '"two"', "Content-Range": "bytes 0-0/1"}, b"!"),
        Answer(206, {"Content-Range": "bytes 0-0/1"}, b"!"),
        Answer(501),
    ],
    ids=["ignores the range", "ignores the condition", "gives no version", "refuses"],
)
async def test_a_value_is_read_whole_where_a_part_is_not_as_announced(
    nginx_endpoint: HTTPEndpoint, part: Answer
) -> None:
    whole = Answer(200, {"Accept-Ranges": "bytes", "ETag": '"one"'}, DATA)
    with fault_proxy(nginx_endpoint.url) as proxy:
        proxy.plan = lambda method, target, headers: part if "range" in headers else whole
        async with FsspecStore.from_url(proxy.url, **PARTS) as store:
            assert await read(store, "a") == DATA
