"""What a killed or cancelled writer leaves on S3: it is listed, removed, and harms nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from conformance.support import buf, collect, listed, put
from servers import S3Endpoint
from servers.fault_proxy import Late, fault_proxy
from servers.scripted import Peer, nothing_left, scripted_server
from servers.scripted_s3 import Asked, Reply, scripted_s3, value

from fsspec_store import FsspecStore
from fsspec_store._backends.cleanup import CLEANUP_SECONDS
from fsspec_store.errors import BackendError, ReadOnlyError

TEMPORARY = ".fsspec-store-0123456789abcdef.tmp"


@pytest.fixture
async def store(moto_endpoint: S3Endpoint) -> AsyncIterator[FsspecStore]:
    url = f"s3://{moto_endpoint.make_bucket()}/root"
    async with FsspecStore.from_url(url, moto_endpoint.storage_options()) as store:
        yield store


# MinIO lists the uploads of a whole key or of a bucket, and none for a prefix.
@pytest.mark.parametrize("service", ["moto_endpoint", "minio_endpoint", "seaweedfs_endpoint"])
async def test_objects_and_uploads_are_listed_and_removed(
    service: str, request: pytest.FixtureRequest
) -> None:
    endpoint: S3Endpoint = request.getfixturevalue(service)
    bucket = endpoint.make_bucket()
    client = endpoint.client()
    store = FsspecStore.from_url(f"s3://{bucket}/root", endpoint.storage_options())
    for key in ("root/a/k", "root-2/k"):
        client.put_object(Bucket=bucket, Key=f"{key}/{TEMPORARY}", Body=b"")
        client.create_multipart_upload(Bucket=bucket, Key=key)
    found = await collect(store.list_leftovers())
    assert [(each.key, each.kind) for each in found] == [
        (f"a/k/{TEMPORARY}", "temporary"),
        ("a/k", "upload"),
    ]
    # moto dates all uploads alike.
    assert abs(found[0].modified.timestamp() - time.time()) < 3600
    assert await collect(store.list_leftovers("b")) == []
    # It may be another writer's, who still writes.
    assert await store.remove_leftovers("a", older_than=10**9) == []
    with pytest.raises(ReadOnlyError):
        await store.with_read_only(True).remove_leftovers(older_than=0)
    assert await store.remove_leftovers("a", older_than=0) == found
    assert await collect(store.list_leftovers()) == []
    # Nothing of a neighbour's.
    left = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [each["Key"] for each in left] == ["root-2/k"]
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    await store.aclose()


@pytest.mark.parametrize("call", ["clear", "delete_dir"])
async def test_an_object_of_a_killed_writer_goes_with_the_keys(
    store: FsspecStore, moto_endpoint: S3Endpoint, call: str
) -> None:
    bucket = store.path.partition("/")[0]
    client = moto_endpoint.client()
    client.put_object(Bucket=bucket, Key=f"root/a/{TEMPORARY}", Body=b"")
    assert await store.is_empty("")
    await put(store, "a/b")
    assert await listed(store.list()) == ["a/b"]
    await (store.clear() if call == "clear" else store.delete_dir("a"))
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


#: Of one connection's requests: the status and the body of each answer; ``None`` is no answer.
Answers = Callable[[str, str, dict[str, str]], tuple[int, str] | None]


@asynccontextmanager
async def s3(answers: Answers, **options: Any) -> AsyncIterator[FsspecStore]:
    """A store on a server that answers as it is told."""

    async def serve(peer: Peer) -> None:
        while True:
            try:
                head = (await peer.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:])}
                method, target, _ = head[0].split(" ")
                answer = answers(method, unquote(target), headers)
                if answer is None:
                    await peer.closed()
                    return
                await peer.reader.readexactly(int(headers.get("content-length", 0)))
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            status, body = answer
            length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
            await peer.send(f'HTTP/1.1 {status} X\r\nETag: "e"\r\n{length}\r\n{body}'.encode())

    async with scripted_server(serve) as server:
        given = {
            "key": "AKIDEXAMPLE",
            "secret": "SECRETSECRET",
            "endpoint_url": f"http://127.0.0.1:{server.port}",
        }
        async with FsspecStore.from_url("s3://bucket/root", given, **options) as store:
            yield store


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        ("<Key>root/../a</Key><UploadId>u</UploadId>", "segment"),
        ("<UploadId>u</UploadId>", "key None"),
        ("<Key>root/a</Key>", "UploadId None"),
    ],
)
async def test_what_may_be_outside_of_the_store_is_not_removed(upload: str, error: str) -> None:
    asked: list[str] = []

    def answer(method: str, target: str, headers: dict[str, str]) -> tuple[int, str]:
        asked.append(method)
        if "uploads" not in target:
            return 200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        begun = "<Initiated>2000-01-01T00:00:00Z</Initiated>"
        listed = f"<Upload>{upload}{begun}</Upload><IsTruncated>false</IsTruncated>"
        return 200, f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"

    async with s3(answer) as store:
        with pytest.raises(BackendError, match=error):
            await store.remove_leftovers()
    assert set(asked) == {"GET"}


async def test_a_date_without_a_time_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(method: str, target: str, headers: dict[str, str]) -> tuple[int, str]:
        if "uploads" not in target:
            return 200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        upload = "<Key>root/a</Key><UploadId>u</UploadId><Initiated>2026-01-01T00:00:00</Initiated>"
        listed = f"<Upload>{upload}</Upload><IsTruncated>false</IsTruncated>"
        return 200, f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>"

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        async with s3(answer) as store:
            (found,) = await collect(store.list_leftovers())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.modified == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_date_out_of_bounds_is_unknown() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.method == "HEAD":
            return value(b"", **{"Last-Modified": "1-Jan-20 00:00:00 +99999999999999"})
        if "uploads" in asked.query:
            return Reply(501)
        entry = f"<Contents><Key>{TEMPORARY}</Key><Size>0</Size></Contents>"
        page = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entry}</ListBucketResult>"
        return Reply(200, page.encode())

    async with (
        scripted_s3(answer) as server,
        FsspecStore.from_url("s3://bucket", server.options()) as store,
    ):
        (found,) = await collect(store.list_leftovers())
    assert found.modified is None


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_a_cancelled_upload_is_aborted_within_its_time(transport: str) -> None:
    sending, aborting = asyncio.Event(), asyncio.Event()

    def answers(method: str, target: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if method == "POST":
            said = "<UploadId>u</UploadId>"
            return 200, f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>"
        (aborting if method == "DELETE" else sending).set()
        return None

    sizes = {"large_value_bytes": 5 * 2**20, "part_bytes": 5 * 2**20}
    async with s3(answers, transport=transport, **sizes) as store, nothing_left():
        writing = asyncio.create_task(store.set("a", buf(bytes(16 * 2**20))))
        await sending.wait()
        writing.cancel()
        # Enough on a busy machine, and half of what an abort with all its retries takes.
        async with asyncio.timeout(4 * CLEANUP_SECONDS):
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert aborting.is_set()
            await store.aclose()


async def test_a_probe_whose_object_is_removed_meanwhile_has_no_wrong_result() -> None:
    objects: dict[str, str] = {}
    probes: list[str] = []

    def answers(method: str, target: str, headers: dict[str, str]) -> tuple[int, str] | None:
        is_probe = ".fsspec-store-" in target
        if method == "DELETE":
            objects.pop(target, None)
            return 204, ""
        if method == "GET":
            return 404, "<Error><Code>NoSuchKey</Code></Error>"
        if "if-none-match" in headers and target in objects:
            return 412, "<Error><Code>PreconditionFailed</Code></Error>"
        if "if-match" in headers:
            if target not in objects:
                return 404, "<Error><Code>NoSuchKey</Code></Error>"
            return 412, "<Error><Code>PreconditionFailed</Code></Error>"
        objects[target] = ""
        if is_probe:
            probes.append(target)
            if len(probes) < 3:
                # As by another process's clear.
                objects.clear()
        return 200, ""

    async with s3(answers) as store:
        await store.set_if_not_exists("a", buf(b"x"))
        assert store.supports_atomic_create
        assert store.supports_compare_and_swap
        assert list(objects) == ["/bucket/root/a"]


async def test_an_object_is_left_by_no_refused_condition() -> None:
    puts: list[str] = []

    def answers(method: str, target: str, headers: dict[str, str]) -> tuple[int, str] | None:
        if "if-none-match" in headers or "if-match" in headers:
            return 501, "<Error><Code>NotImplemented</Code></Error>"
        puts.append(f"{method} {target}")
        return 204 if method == "DELETE" else 200, ""

    async with s3(answers) as store:
        with pytest.raises(NotImplementedError):
            await store.set_if_not_exists("a", buf(b"x"))
        assert not store.supports_compare_and_swap
        put_, removed = puts
        assert removed == put_.replace("PUT", "DELETE")


async def test_a_writer_that_is_cancelled_while_its_upload_begins_leaves_nothing(
    moto_endpoint: S3Endpoint,
) -> None:
    with fault_proxy(moto_endpoint.url) as proxy:
        options = {**moto_endpoint.storage_options(), "endpoint_url": proxy.url}
        url = f"s3://{moto_endpoint.make_bucket()}/root"
        async with FsspecStore.from_url(url, options, part_bytes=5 * 2**20) as store:
            await put(store, "kept")
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def hold(method: str, target: str, headers: Mapping[str, str]) -> Late | None:
                if method != "POST":
                    return None
                loop.call_soon_threadsafe(begun.set)
                return Late(0.2)

            async def write() -> None:
                async with store.open_writer("a") as writer:
                    await writer.write(bytes(5 * 2**20 + 1))

            proxy.plan = hold
            writing = asyncio.create_task(write())
            await begun.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await store.aclose()
            requests = [seen.method for seen in proxy.seen]
            assert requests[-2:] == ["POST", "DELETE"]
            assert await collect(store.list_leftovers()) == []
            assert await listed(store.list()) == ["kept"]
