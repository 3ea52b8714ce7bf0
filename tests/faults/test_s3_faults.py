"""Faulty responses of S3, injected by a proxy in front of a server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf, collect, content, listed, put, read
from servers import S3Endpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, fault_proxy, no_faults, the_first

from fsspec_store import FsspecStore, RangeByteRequest, StoreError
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    UnauthenticatedError,
    UnsupportedOperationError,
    VersionMismatchError,
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


def only(method: str, target: str, answer: Fault | Answer) -> Any:
    """A plan with a fault for requests of one method and target."""
    return lambda asked, where, headers: answer if (asked == method and target in where) else None


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
async def test_a_creation_whose_response_was_lost_succeeds(
    make_store: Any, proxy: FaultProxy, fault: Fault
) -> None:
    store = make_store(timeout=1)
    backend = store._backend
    # The probe of conditional writes is sent first.
    await store.set_if_not_exists("first", buf(b"1"))
    path = f"{store.path}/a"
    proxy.plan = the_first(1, fault, method="PUT")
    assert await backend.create(path, memoryview(b"mine")) is True
    assert await backend.create(path, memoryview(b"other")) is False
    proxy.plan = the_first(1, fault, method="PUT")
    assert await backend.create(path, memoryview(b"other")) is False
    assert await read(store, "a") == b"mine"


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DELAYED])
async def test_a_replacement_whose_response_was_lost_succeeds(
    make_store: Any, proxy: FaultProxy, fault: Fault
) -> None:
    store = make_store(timeout=1)
    await put(store, "a", data=b"first")
    version = (await store.get_version("a")).version
    await store.set("a", buf(b"second"), if_match=version)
    version = (await store.get_version("a")).version
    proxy.plan = the_first(1, fault, method="PUT")
    await store.set("a", buf(b"third"), if_match=version)
    assert await read(store, "a") == b"third"


@pytest.mark.parametrize("in_parts", [False, True], ids=["whole", "in parts"])
async def test_an_equal_value_of_another_writer_is_no_success(
    make_store: Any, proxy: FaultProxy, in_parts: bool
) -> None:
    store = make_store(large_value_bytes=1 if in_parts else None)
    method = "POST" if in_parts else "PUT"
    await put(store, "lock", data=b"free")
    version = (await store.get_version("lock")).version
    # Two writers take a lock. The second one's request is lost and sent again.
    proxy.plan = no_faults
    await store.set("lock", buf(b"taken"), if_match=version)
    strike = iter([Fault.RESET])
    proxy.plan = lambda asked, target, headers: (
        next(strike, None) if asked == method and "uploads" not in target else None
    )
    with pytest.raises(VersionMismatchError):
        await store.set("lock", buf(b"taken"), if_match=version)
    assert next(strike, None) is None
    # With a lost response the write is recognised by its metadata.
    version = (await store.get_version("lock")).version
    strike = iter([Fault.LOST])
    await store.set("lock", buf(b"free again"), if_match=version)
    assert next(strike, None) is None


async def test_a_multipart_upload_whose_last_response_was_lost_succeeds(
    make_store: Any, proxy: FaultProxy, minio_endpoint: S3Endpoint
) -> None:
    # The minimum size of a part.
    store = make_store(large_value_bytes=5 * 2**20, part_bytes=5 * 2**20)
    large = content(6 * 2**20)
    proxy.plan = the_first(1, Fault.LOST, method="POST")
    await put(store, "first", data=large)
    lost = []

    def the_completion(method: str, target: str, headers: Any) -> Fault | None:
        if method == "POST" and "uploadId=" in target and not lost:
            lost.append(target)
            return Fault.LOST
        return None

    proxy.plan = the_completion
    await put(store, "a", data=large)
    assert lost
    assert await read(store, "a") == large
    bucket, _, root = store.path.partition("/")
    left = minio_endpoint.client().list_multipart_uploads(Bucket=bucket, Prefix=f"{root}/a")
    assert "Uploads" not in left


async def test_a_server_that_never_answers_is_a_clear_error(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store(timeout=3, retries=1)
    assert await store.get("a") is None
    proxy.plan = lambda method, target, headers: Fault.DELAYED
    with pytest.raises(BackendError, match=r"cannot read 'a' in s3://.*tried 2 times in"):
        await store.get("a")
    assert store.stats.requests == 3


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


async def test_zero_retries_send_one_request(make_store: Any, proxy: FaultProxy) -> None:
    store = make_store(retries=0)
    await put(store, "a")
    for fault in (Fault.RESET, Answer(503), error(500, "InternalError"), Fault.TRUNCATED):
        proxy.plan = lambda method, target, headers, fault=fault: fault
        with proxy.watching() as seen, pytest.raises(BackendError):
            await store.get("a")
        assert len(seen) == 1


async def test_throttled_requests_are_counted_and_retried(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store()
    await put(store, "a")
    proxy.plan = the_first(3, error(503, "SlowDown"))
    assert await read(store, "a") == b"a"
    assert store.stats.throttled == 3
    assert store.stats.retries == 3


async def test_a_listing_that_breaks_off_is_an_error(make_store: Any, proxy: FaultProxy) -> None:
    store = make_store(retries=1)
    await store._set_many((f"c/{number}", buf(b"x")) for number in range(1001))
    proxy.plan = only("GET", "continuation-token", error(403, "AccessDenied"))
    with pytest.raises(AccessDeniedError):
        await listed(store.list())
    for answer in (error(500, "InternalError"), Fault.TRUNCATED, Answer(200, {}, b"<html></html>")):
        proxy.plan = only("GET", "continuation-token", answer)
        with pytest.raises(BackendError):
            await listed(store.list())
        with pytest.raises(BackendError):
            await store.getsize_prefix("c")
    proxy.plan = no_faults
    assert len(await collect(store.list())) == 1001


async def test_a_listing_that_repeats_a_page_is_an_error(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store(retries=0)
    key = b"<Contents><Key>data/a</Key><Size>1</Size></Contents>"
    token = b"<NextContinuationToken>again</NextContinuationToken>"
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated>%b%b</ListBucketResult>" % (
        token,
        key,
    )
    proxy.plan = only("GET", "list-type", Answer(200, {}, page))
    for call in (listed(store.list()), listed(store.list_dir("")), store.delete_dir("")):
        async with asyncio.timeout(20):
            with pytest.raises(BackendError, match="never end"):
                await call


async def test_a_key_that_a_bulk_delete_does_not_delete_is_an_error(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store()
    await put(store, "c/0", "c/1")

    def refusal(code: str) -> Answer:
        entry = f"<Error><Key>data/c/1</Key><Code>{code}</Code><Message>no</Message></Error>"
        return Answer(200, {}, f"<DeleteResult>{entry}</DeleteResult>".encode())

    proxy.plan = only("POST", "?delete", refusal("AccessDenied"))
    with pytest.raises(AccessDeniedError, match="data/c/1"):
        await store.delete_dir("c")
    proxy.plan = only("POST", "?delete", refusal("MethodNotAllowed"))
    with pytest.raises(StoreError, match="data/c/1"):
        await store.delete_dir("c")
    # Transient errors of one key are retried, as those of a whole request.
    proxy.plan = the_first(1, refusal("InternalError"), method="POST")
    await store.delete_dir("c")
    assert await listed(store.list()) == []


@pytest.mark.parametrize("answer", [error(501, "NotImplemented"), error(405, "MethodNotAllowed")])
async def test_a_service_without_bulk_deletes_gets_single_ones(
    make_store: Any, proxy: FaultProxy, answer: Answer
) -> None:
    store = make_store()
    await put(store, *(f"c/{number}" for number in range(20)), "d")
    proxy.plan = only("POST", "?delete", answer)
    with proxy.watching() as seen:
        await store.delete_dir("c")
    assert await listed(store.list()) == ["d"]
    assert [each.method for each in seen].count("POST") == 1
    assert [each.method for each in seen].count("DELETE") == 20
    await put(store, "c/0")
    with proxy.watching() as seen:
        await store.delete_dir("c")
    assert "POST" not in {each.method for each in seen}


async def test_403_may_mean_missing_on_reads(make_store: Any, proxy: FaultProxy) -> None:
    store = make_store(missing_on_forbidden=True)
    strict = make_store()
    await put(strict, "a")
    proxy.plan = lambda method, target, headers: error(403, "AccessDenied")
    assert await store.get("a") is None
    assert not await store.exists("a")
    assert await store.get_version("a") is None
    with pytest.raises(FileNotFoundError):
        await store.getsize("a")
    assert await store.get_partial_values(None, [("a", RangeByteRequest(0, 1)), ("b", None)]) == [
        None,
        None,
    ]
    assert store.stats.forbidden_as_missing == 6
    # On other operations than reads, 403 is an error.
    for use in (store.set("a", buf(b"x")), store.delete("a"), listed(store.list())):
        with pytest.raises(AccessDeniedError):
            await use
    for use in (strict.get("a"), strict.exists("a"), strict.getsize("a")):
        with pytest.raises(AccessDeniedError, match="'a'"):
            await use
    assert strict.stats.forbidden_as_missing == 0


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


async def test_412_to_an_unconditional_write_is_an_error(
    make_store: Any, proxy: FaultProxy
) -> None:
    store = make_store()
    proxy.plan = only("PUT", "", error(412, "PreconditionFailed"))
    with pytest.raises(BackendError, match="PreconditionFailed"):
        await put(store, "a")


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


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired", "RequestExpired"])
async def test_expired_credentials_are_refreshed_once(
    minio_endpoint: S3Endpoint,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    transport: str,
) -> None:
    bucket = minio_endpoint.make_bucket()
    credentials = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def write(key: str) -> None:
        credentials.write_text(
            f"[default]\naws_access_key_id={key}\naws_secret_access_key={minio_endpoint.secret}\n"
        )

    write("OLDKEY")
    options = {"endpoint_url": proxy.url, "client_kwargs": {"region_name": "us-east-1"}}

    def expire(method: str, target: str, headers: Any) -> Answer | None:
        return error(400, code) if "Credential=OLDKEY/" in headers["authorization"] else None

    proxy.plan = expire
    async with FsspecStore.from_url(
        f"s3://{bucket}/x", options, retries=0, transport=transport
    ) as store:
        with proxy.watching() as seen, pytest.raises(AccessDeniedError, match=code):
            await store.get("a")
        # One request, and one after the credentials were refreshed.
        assert len(seen) == 2
        write(minio_endpoint.key)
        with proxy.watching() as seen:
            assert await store.get("a") is None
            await asyncio.gather(*(store.set(f"k/{n}", buf(b"x")) for n in range(20)))
        # Rejected credentials are looked up again before the next request.
        assert [each.status for each in seen].count(400) == 0
    assert len(proxy.seen) >= 2


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
