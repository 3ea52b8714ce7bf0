"""Faults that only S3 has: its error codes, its probes, its credentials."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance.support import buf, content, listed, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy, fault_proxy, the_first

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store.errors import (
    BackendError,
    UnauthenticatedError,
    UnsupportedOperationError,
)


@pytest.fixture
def proxy(minio_endpoint: S3Endpoint) -> Iterator[FaultProxy]:
    with fault_proxy(minio_endpoint.url) as proxy:
        yield proxy


@pytest.fixture
def options(minio_endpoint: S3Endpoint, proxy: FaultProxy) -> dict[str, Any]:
    return dataclasses.replace(minio_endpoint, url=proxy.url).storage_options()


@pytest.fixture
def make_store(
    minio_endpoint: S3Endpoint, options: dict[str, Any], transport: str
) -> Iterator[Any]:
    bucket = minio_endpoint.make_bucket()
    made = []

    def make(**more: Any) -> FsspecStore:
        more = {"timeout": 5, "transport": transport, **more}
        made.append(FsspecStore.from_url(f"s3://{bucket}/data", options, **more))
        return made[-1]

    yield make
    for store in made:
        store.close()
        assert transport == "auto" or not store.stats.native


def error(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>from the test</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


async def test_an_unreachable_server_is_a_clear_error(
    options: dict[str, Any], unused_tcp_port: int, transport: str
) -> None:
    options["endpoint_url"] = f"http://127.0.0.1:{unused_tcp_port}"
    async with FsspecStore.from_url(
        "s3://bucket/x", options, retries=2, transport=transport
    ) as store:
        with pytest.raises(BackendError, match=r"cannot read 'a' in s3://bucket/x.*tried 3 times"):
            await store.get("a")
        with pytest.raises(BackendError, match="cannot list"):
            await listed(store.list())
        assert store.stats.requests == 6


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidTokenId"]
)
async def test_invalid_credentials_never_mean_missing(
    make_store: Any, proxy: FaultProxy, code: str
) -> None:
    store = make_store(missing_on_forbidden=True)
    await put(store, "a")
    proxy.plan = lambda method, target, headers: error(403, code)
    with pytest.raises(UnauthenticatedError, match=code):
        await store.get("a")
    assert store.stats.forbidden_as_missing == 0


async def test_concurrent_first_creations_probe_once(make_store: Any, proxy: FaultProxy) -> None:
    store = make_store()
    with proxy.watching() as seen:
        await asyncio.gather(*(store.set_if_not_exists(f"k/{n}", buf(b"x")) for n in range(20)))
    probes = [each for each in seen if ".fsspec-store-" in each.target]
    assert len([each for each in probes if each.method == "PUT"]) == 3
    assert len(seen) == 20 + len(probes)
    assert len(await listed(store.list())) == 20


async def test_an_upload_that_the_server_does_not_read_times_out(
    options: dict[str, Any], transport: str
) -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(ignore, "127.0.0.1", 0, limit=2**10)
    options["endpoint_url"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    policy: dict[str, Any] = {"timeout": 0.5, "retries": 0, "transport": transport}
    async with FsspecStore.from_url("s3://bucket/x", options, **policy) as store:
        with pytest.raises(BackendError, match="TimeoutError"):
            await put(store, "a", data=bytes(2**16))
    gone.set()
    server.close()
    await server.wait_closed()


async def test_concurrent_requests_with_expired_credentials(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store()
    await put(store, "a", data=json.dumps({"zarr_format": 3}).encode())
    proxy.plan = the_first(16, error(400, "ExpiredToken"))
    values = await asyncio.gather(*(read(store, "a") for _ in range(16)))
    assert set(values) == {b'{"zarr_format": 3}'}


async def test_the_probe_detects_ignored_conditions(rclone_endpoint: S3Endpoint) -> None:
    bucket = rclone_endpoint.make_bucket()
    url, options = f"s3://{bucket}/x", rclone_endpoint.storage_options()
    async with FsspecStore.from_url(url, options) as store:
        await put(store, "a", data=b"first")
        with pytest.raises(UnsupportedOperationError, match=r"'a'.*If-None-Match"):
            await store.set_if_not_exists("a", buf(b"second"))
        assert await read(store, "a") == b"first"
        assert not store.supports_atomic_create
        version = (await store.get_version("a")).version
        with pytest.raises(UnsupportedOperationError, match="If-Match"):
            await store.set("a", buf(b"second"), if_match=version)
        assert not store.supports_compare_and_swap
        assert await read(store, "a") == b"first"
        # Partial writes work with a single writer.
        await store.set_partial_values([("a", 1, b"IR"), ("new", 1, b"x")])
        assert await read(store, "a") == b"fIRst"
        assert await read(store, "new") == b"\0x"
        assert await listed(store.list()) == ["a", "new"]
    async with FsspecStore.from_url(url, options, allow_racy_create=True) as store:
        await store.set_if_not_exists("a", buf(b"second"))
        await store.set_if_not_exists("b", buf(b"second"))
        assert await read(store, "a") == b"fIRst"
        assert await read(store, "b") == b"second"
        assert not store.supports_atomic_create


async def test_a_whole_checksum_with_a_part_is_ignored(
    rclone_endpoint: S3Endpoint, transport: str
) -> None:
    bucket = rclone_endpoint.make_bucket()
    options = rclone_endpoint.storage_options()
    async with FsspecStore.from_url(f"s3://{bucket}/x", options, transport=transport) as store:
        data = content(1000)
        await put(store, "a", data=data)
        assert await read(store, "a") == data
        assert await read(store, "a", RangeByteRequest(10, 20)) == data[10:20]
