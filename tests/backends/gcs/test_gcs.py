"""Google Cloud Storage on its emulator, fake-gcs-server."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import google.auth.credentials
import google.auth.exceptions
import pytest
from conformance import Limits
from conformance.support import buf, content, listed, named, put, read
from forking import in_forked_child
from gcsfs.core import GCSFileSystem
from google_api import GoogleFileSystem, batch_response, error_response
from servers import GCSEndpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, Plan, fault_proxy, the_first
from servers.roots import bucket_of, new_root

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    InvalidKeyError,
    StorageOptionError,
    StoreURLError,
    UnsupportedOperationError,
    VersionMismatchError,
)

from ..on_bucket import OnBucket


class TestFakeGCS(OnBucket):
    service = "fake-gcs-server"
    scheme = "gs"
    limits = Limits(examples=25)

    @pytest.fixture
    def endpoint(self, fake_gcs_endpoint: GCSEndpoint) -> GCSEndpoint:
        return fake_gcs_endpoint

    async def test_directory_markers_are_not_keys(
        self, fake_gcs_endpoint: GCSEndpoint, make_store: Any
    ) -> None:
        store = make_store()
        bucket, _, root = store.path.partition("/")
        with fake_gcs_endpoint.client() as client:
            for marker in ("", "folder/", "folder/empty/"):
                client.bucket(bucket).blob(f"{root}/{marker}").upload_from_string(b"")
        await put(store, "folder/a")
        assert await listed(store.list()) == ["folder/a"]
        assert set(await listed(store.list_dir(""))) == {"folder"}
        assert not await store.exists("folder")
        await store.clear()
        with fake_gcs_endpoint.client() as client:
            assert list(client.list_blobs(bucket, prefix=f"{root}/")) == []

    async def test_an_object_stored_compressed_is_not_decompressed(
        self, fake_gcs_endpoint: GCSEndpoint, make_store: Any
    ) -> None:
        store = make_store()
        bucket, _, root = store.path.partition("/")
        packed = gzip.compress(b"0123456789")
        with fake_gcs_endpoint.client() as client:
            blob = client.bucket(bucket).blob(f"{root}/a")
            blob.content_encoding = "gzip"
            blob.upload_from_string(packed)
        assert await read(store, "a") == packed
        assert await read(store, "a", RangeByteRequest(1, 4)) == packed[1:4]
        assert await store.getsize("a") == len(packed)

    async def test_of_many_creators_of_the_same_bytes_one_wins(self, make_store: Any) -> None:
        backends = [make_store()._backend for _ in range(4)]
        root = make_store().path
        for round_ in range(3):
            path = f"{root}/lock/{round_}"
            won = await asyncio.gather(
                *(backends[n % 4].create(path, memoryview(b"same")) for n in range(64))
            )
            assert sum(won) == 1
        for backend in backends:
            await backend.aclose()


@pytest.fixture(scope="module")
def proxy(fake_gcs_endpoint: GCSEndpoint) -> Iterator[FaultProxy]:
    with fault_proxy(fake_gcs_endpoint.url) as running:
        yield running


@pytest.fixture
async def make(proxy: FaultProxy, fake_gcs_endpoint: GCSEndpoint) -> Any:
    """Makes stores behind the proxy; each test has another root."""
    root = new_root(fake_gcs_endpoint)
    made = []

    def make(
        path: str = root,
        *,
        retries: int = 6,
        large_value_bytes: int | None = None,
        part_bytes: int | None = None,
        cls: type[GCSFileSystem] = GCSFileSystem,
        **options: Any,
    ) -> FsspecStore:
        options = {"token": "anon", "project": "test", "endpoint_url": proxy.url} | options
        fs = cls(skip_instance_cache=True, **options)
        store = FsspecStore(
            fs,
            path,
            retries=retries,
            large_value_bytes=large_value_bytes,
            part_bytes=part_bytes,
        )
        made.append(store)
        return store

    yield make
    proxy.plan = lambda *_: None
    for store in made:
        await store.aclose()


def to_path(part: str, fault: Fault | Answer, *, times: int = 1, method: str = "") -> Plan:
    """Inject the fault into the first requests whose target has this part."""
    left = itertools.repeat(fault, times)

    def plan(requested: str, target: str, headers: Any) -> Fault | Answer | None:
        return next(left, None) if part in target and method in ("", requested) else None

    return plan


async def test_keys_are_deleted_a_hundred_at_a_time(make: Any, proxy: FaultProxy) -> None:
    store = make()
    await asyncio.gather(*(put(store, f"c/{number} #%?/ü") for number in range(250)))
    with proxy.watching() as seen:
        await store.delete_dir("c")
    assert [request.method for request in seen] == ["GET", "POST", "POST", "POST"]
    assert await listed(store.list()) == []


async def test_only_failed_requests_of_a_batch_are_retried(make: Any, proxy: FaultProxy) -> None:
    store = make()
    await put(store, "c/1", "c/2", "c/3")
    proxy.plan = to_path("/batch", batch_response([204, 503, 404]))
    await store.delete_dir("c")
    assert await listed(store.list()) == ["c/1", "c/3"]
    assert store.stats.retries == store.stats.throttled == 1


async def test_a_request_without_response_in_a_batch_is_retried(
    make: Any, proxy: FaultProxy
) -> None:
    store = make()
    await put(store, "c/1", "c/2")
    proxy.plan = to_path("/batch", batch_response([204]))
    await store.delete_dir("c")
    assert await listed(store.list()) == ["c/1"]


@pytest.mark.parametrize("message", ["", "The specified bucket does not exist."])
async def test_a_missing_bucket_is_not_a_missing_key(
    make: Any, proxy: FaultProxy, message: str
) -> None:
    # The emulator's "Not Found" is ambiguous; Google's message saves a request.
    if message:
        proxy.plan = to_path("/b/", error_response(404, message), times=100)
    for use in (
        lambda store: store.get("a"),
        lambda store: store.get("a", byte_range=RangeByteRequest(0, 1)),
        lambda store: store.get_version("a"),
        lambda store: store.exists("a"),
        lambda store: store.set("a", buf(b"x")),
        lambda store: store.set_if_not_exists("a", buf(b"x")),
        lambda store: store.set("a", buf(b"x"), if_match="1"),
        lambda store: store.delete("a"),
        lambda store: store.delete_dir("a"),
        lambda store: store._backend.remove_many([f"{store.path}/{n}" for n in "ab"], limit=2),
        lambda store: listed(store.list()),
        lambda store: listed(store.list_dir("")),
    ):
        store = make("no-such-bucket/x")
        with proxy.watching() as seen, pytest.raises(Exception) as caught:  # noqa: PT011
            await use(store)
        if not isinstance(caught.value, BucketNotFoundError):
            # Raised by the backend itself.
            assert store._backend.failure(caught.value).value == "no bucket"
        assert len(seen) == 1 or not message or "/batch" in seen[0].target
        assert len(seen) <= 2


async def test_googles_404_states_that_the_object_is_missing(make: Any, proxy: FaultProxy) -> None:
    store = make("no-such-bucket/x")
    proxy.plan = to_path("", Answer(404, {}, b"No such object: no-such-bucket/x/a"), times=2)
    with proxy.watching() as seen:
        assert await store.get("a") is None
        assert not await store.exists("a")
    assert len(seen) == 2


@pytest.mark.parametrize("status", [401, 403])
async def test_an_error_repeats_the_message_of_the_service(
    make: Any, proxy: FaultProxy, status: int
) -> None:
    store = make()
    proxy.plan = to_path("", error_response(status, "you may not"), times=100)
    for use in (
        store.get("a"),
        store.exists("a"),
        store.set("a", buf(b"x")),
        store.delete("a"),
        listed(store.list()),
    ):
        with proxy.watching() as seen, pytest.raises(AccessDeniedError) as caught:
            await use
        assert f": status {status}: you may not" in str(caught.value)
        assert len(seen) == 1


async def test_a_bucket_whose_metadata_is_forbidden_counts_as_existing(
    make: Any, proxy: FaultProxy
) -> None:
    store = make("no-such-bucket/x")

    def plan(method: str, target: str, headers: Any) -> Answer | None:
        return error_response(403, "no") if re.search(r"/b/[^/]*\?", target) else None

    proxy.plan = plan
    assert await store.get("a") is None


async def test_a_zonal_bucket_is_unsupported(make: Any, proxy: FaultProxy) -> None:
    store = make()
    proxy.plan = the_first(1, error_response(400, "This bucket requires appendable objects."))
    with pytest.raises(UnsupportedOperationError, match="requires appendable objects"):
        await store.set("a", buf(b"x"))


async def test_a_checksum_mismatch_is_retried(make: Any, proxy: FaultProxy) -> None:
    store = make()
    await put(store, "a", data=b"right")
    # Google sends two headers; one with both checksums is equivalent.
    flipped = Answer(200, {"X-Goog-Hash": "crc32c=AAAAAA==,md5=x"}, b"wrong")
    proxy.plan = to_path("alt=media", flipped)
    assert await read(store, "a") == b"right"
    assert store.stats.retries == 1


async def test_only_a_generation_is_a_version(make: Any) -> None:
    store = make()
    for version in ("0", "-1", "", "x", "1&a=b", "٣"):
        with pytest.raises(VersionMismatchError):
            await store.set("missing", buf(b"x"), if_match=version)
    assert not await store.exists("missing")


async def test_stored_size_and_checksum_are_verified(make: Any, proxy: FaultProxy) -> None:
    store = make()
    for stored in ({"size": "2"}, {"size": "1", "crc32c": "AAAAAA=="}):
        proxy.plan = to_path("/upload", Answer(200, {}, json.dumps(stored).encode()))
        with pytest.raises(BackendError, match="stored other bytes"):
            await store.set("a", buf(b"x"))


async def test_a_large_value_is_one_request_without_resumable_uploads(
    make: Any, proxy: FaultProxy
) -> None:
    store = make(large_value_bytes=2**20, part_bytes=2**18)
    value = content(2**20 + 1000)
    with proxy.watching() as seen:
        await store.set_if_not_exists("a", buf(value))
        await store.set_if_not_exists("a", buf(b"other"))
    assert len(seen) == 2
    assert await store.getsize("a") == len(value)
    assert await read(store, "a") == value


class TestResumableUploads:
    """Uploads in chunks, as for Google's hosts. The emulator supports them without faults."""

    @pytest.fixture
    def store(self, make: Any) -> FsspecStore:
        store: FsspecStore = make(cls=GoogleFileSystem, large_value_bytes=1, part_bytes=2**18)
        return store

    VALUE = content(2**19 + 1000)

    async def test_a_value_is_uploaded_in_chunks(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        with proxy.watching() as seen:
            await store.set("a #?%/ü", buf(self.VALUE))
        assert [request.method for request in seen] == ["POST", "PUT", "PUT", "PUT"]
        assert seen[-1].headers["content-range"] == "bytes 524288-525287/525288"
        assert await read(store, "a #?%/ü") == self.VALUE
        assert await store.getsize("a #?%/ü") == len(self.VALUE)

    async def test_a_chunk_is_retried(self, store: FsspecStore, proxy: FaultProxy) -> None:
        proxy.plan = the_first(2, Fault.UNAVAILABLE, method="PUT")
        await store.set("a", buf(self.VALUE))
        assert await read(store, "a") == self.VALUE
        assert store.stats.retries == 2

    async def test_the_next_chunk_starts_at_the_stored_size(
        self, make: Any, proxy: FaultProxy
    ) -> None:
        store = make(cls=GoogleFileSystem, large_value_bytes=1, part_bytes=2**19)
        starts: list[str] = []

        def plan(method: str, target: str, headers: Any) -> Answer | None:
            if method != "PUT":
                return None
            starts.append(headers["content-range"])
            if len(starts) == 1:
                return Answer(308, {"Range": "bytes=0-262143"})
            # The response to the last chunk: the server did not receive the start of the value.
            end = starts[-1].partition("-")[2].partition("/")[0]
            if int(end) + 1 == len(self.VALUE):
                return Answer(200, {}, b"{}")
            return Answer(308, {"Range": f"bytes=0-{end}"})

        proxy.plan = plan
        await store.set("a", buf(self.VALUE))
        assert starts[1].startswith("bytes 262144-")

    async def test_a_lost_session_is_restarted(self, store: FsspecStore, proxy: FaultProxy) -> None:
        proxy.plan = the_first(1, Answer(410), method="PUT")
        with proxy.watching() as seen:
            await store.set("a", buf(self.VALUE))
        assert [request.method for request in seen] == ["POST", "PUT", "POST", "PUT", "PUT", "PUT"]
        assert await read(store, "a") == self.VALUE

    async def test_an_upload_that_fails_is_cancelled(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        proxy.plan = to_path("upload_id", error_response(403, "no"), method="PUT", times=9)
        with proxy.watching() as seen, pytest.raises(AccessDeniedError):
            await store.set("a", buf(self.VALUE))
        assert [request.method for request in seen] == ["POST", "PUT", "DELETE"]
        assert not await store.exists("a")

    async def test_a_cancelled_upload_deletes_its_session(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        sending = asyncio.Event()
        loop = asyncio.get_running_loop()

        def plan(method: str, target: str, headers: Any) -> Fault | None:
            if method == "PUT":
                loop.call_soon_threadsafe(sending.set)
            return Fault.DELAYED if method == "PUT" else None

        proxy.plan = plan
        with proxy.watching() as seen:
            writing = asyncio.create_task(store.set("a", buf(self.VALUE)))
            await sending.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            await store.aclose()
        assert [request.method for request in seen] == ["POST", "PUT", "DELETE"]

    async def test_no_progress_is_an_error(self, store: FsspecStore, proxy: FaultProxy) -> None:
        for response in (Answer(308), Answer(308, {"Range": "bytes=0-99999999"})):
            proxy.plan = to_path("upload_id", response, method="PUT", times=99)
            with pytest.raises(BackendError, match="the service stored"):
                await store.set("a", buf(self.VALUE))

    @pytest.mark.parametrize(
        ("response", "message"),
        [
            (Answer(308, {"Range": "bytes=0-99"}), "the service stored 100 of the"),
            (Answer(200, {}, b"{}"), "ended an upload"),
        ],
        ids=["little", "end"],
    )
    async def test_impossible_progress_is_an_error(
        self, store: FsspecStore, proxy: FaultProxy, response: Answer, message: str
    ) -> None:
        proxy.plan = to_path("upload_id", response, method="PUT", times=99)
        with pytest.raises(BackendError, match=message):
            await store.set("a", buf(self.VALUE))

    async def test_a_session_is_on_the_endpoint_and_not_in_errors(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        secret = "a-signed-session"

        def plan(method: str, target: str, headers: Any) -> Answer | None:
            if method == "POST":
                # Only the endpoint gets the token, not the host in the Location.
                return Answer(200, {"Location": f"http://192.0.2.1/up?upload_id={secret}"})
            return error_response(400, f"no {target}") if method == "PUT" else None

        proxy.plan = plan
        with proxy.watching() as seen, pytest.raises(BackendError) as caught:
            await store.set("a", buf(self.VALUE))
        assert seen[1].target == f"/up?upload_id={secret}"
        assert secret not in str(caught.value)

    @pytest.mark.parametrize("location", [None, "", "/up", "ftp://host/up", "http://[::1/up"])
    async def test_a_session_without_a_url_is_an_error(
        self, store: FsspecStore, proxy: FaultProxy, location: str | None
    ) -> None:
        headers = {} if location is None else {"Location": location}
        proxy.plan = to_path("resumable", Answer(200, headers), method="POST")
        with pytest.raises(BackendError, match="without a valid Location"):
            await store.set("a", buf(self.VALUE))

    async def test_a_condition_is_sent_with_the_session(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        proxy.plan = to_path("ifGenerationMatch=0", Answer(412))
        with proxy.watching() as seen:
            await store.set_if_not_exists("a", buf(self.VALUE))
        assert len(seen) == 1
        assert not await store.exists("a")
        # The condition is also checked at the end.
        proxy.plan = to_path("upload_id", Answer(412), method="PUT")
        await store.set_if_not_exists("a", buf(self.VALUE))
        assert not await store.exists("a")


class Token(google.auth.credentials.Credentials):  # type: ignore[misc]
    """Credentials with numbered tokens, which can be invalidated."""

    def __init__(self, refresh: Callable[[], str]) -> None:
        super().__init__()
        self._refresh = refresh

    def refresh(self, request: Any) -> None:
        self.token = self._refresh()


def wants(token: str) -> Plan:
    """Requests without this token get a 401."""

    def plan(method: str, target: str, headers: Any) -> Answer | None:
        good = headers.get("authorization") == f"Bearer {token}"
        return None if good else error_response(401, "Invalid Credentials")

    return plan


async def test_every_request_is_signed_and_a_token_refreshed_once(
    make: Any, proxy: FaultProxy
) -> None:
    tokens = (f"t{number}" for number in itertools.count())
    credentials = Token(lambda: next(tokens))
    store = make(token=credentials)
    proxy.plan = wants("t0")
    await put(store, "a", "b")
    assert await read(store, "a") == b"a"
    await store.delete_dir("")
    assert credentials.token == "t0"
    # After a 401 one request refreshes the token for all.
    proxy.plan = wants("t1")
    await asyncio.gather(*(store.get("a") for _ in range(40)))
    assert credentials.token == "t1"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_a_token_is_fetched_fetches_its_own(make: Any) -> None:
    fetching, over = threading.Event(), threading.Event()
    parent = os.getpid()

    def token() -> str:
        if os.getpid() == parent:
            fetching.set()
            over.wait(60)
        return "token"

    store = make(token=Token(token))

    def child() -> bool:
        signal.alarm(30)
        return not asyncio.run(store.exists("nothing"))

    thread = threading.Thread(target=lambda: asyncio.run(store.exists("nothing")))
    thread.start()
    fetching.wait(60)
    try:
        assert in_forked_child(child)
    finally:
        over.set()
        thread.join()


async def test_a_token_that_is_rejected_at_its_first_use_is_refreshed(
    make: Any, proxy: FaultProxy
) -> None:
    tokens = (f"t{number}" for number in itertools.count())
    store = make(token=Token(lambda: next(tokens)))
    proxy.plan = wants("t1")
    assert await store.get("a") is None


async def test_missing_credentials_are_an_access_error(make: Any, proxy: FaultProxy) -> None:
    def fail() -> str:
        raise google.auth.exceptions.RefreshError("no such account")

    store = make(token=Token(fail))
    with proxy.watching() as seen, pytest.raises(AccessDeniedError):
        await store.get("a")
    assert seen == []


async def test_a_transient_failure_to_get_a_token_is_retried(make: Any) -> None:
    failures = iter([google.auth.exceptions.TransportError("try again")])

    def refresh() -> str:
        for failure in failures:
            raise failure
        return "t"

    store = make(token=Token(refresh))
    assert await store.get("a") is None
    assert store.stats.retries == 1


async def test_the_users_options_reach_every_request(make: Any, proxy: FaultProxy) -> None:
    header = {"x-goog-encryption-algorithm": "AES256"}
    session = {"headers": header, "auto_decompress": True, "raise_for_status": True}
    store = make(requester_pays="who-pays", session_kwargs=session)
    with proxy.watching() as seen:
        await put(store, "c/1", "c/2", "c/3")
        assert await store.get("c/1") is not None
        assert await store.get("missing") is None
        assert await store.exists("c/1")
        await store.delete("c/1")
        await store.delete_dir("c")
    batches = [request for request in seen if "/batch" in request.target]
    assert len(batches) == 1
    assert all("userProject=who-pays" in one.target for one in seen if one not in batches)
    assert all(one.headers["x-goog-encryption-algorithm"] == "AES256" for one in seen)
    assert await listed(store.list()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tokenn": "anon"}, "'tokenn' (did you mean 'token'?)"),
        ({"anon": True}, "'anon'"),
        ({"session_kwargs": {"trust_enf": True}}, "did you mean 'trust_env'"),
        ({"session_kwargs": {"connector": object()}}, "one event loop"),
        ({"endpoint_url": "http://me:secret@host"}, "without a user name"),
        ({"endpoint_url": "host:80"}, "http(s)://"),
        ({"requester_pays": True, "project": ""}, "needs a project"),
    ],
    ids=named,
)
def test_an_unsupported_option_is_rejected(make: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(StorageOptionError) as caught:
        make(**options)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("root", ["B", "ab", "-abc", "a b c/x", "a" * 223])
def test_an_invalid_bucket_name_is_rejected(make: Any, root: str) -> None:
    with pytest.raises(StoreURLError, match="invalid bucket name"):
        make(root)


async def test_invalid_object_names_are_rejected(
    make: Any, proxy: FaultProxy, fake_gcs_endpoint: GCSEndpoint
) -> None:
    store = make()
    spare = 1024 - len(store.path.partition("/")[2]) - 1
    with proxy.watching() as seen:
        for key in ("a" * (spare + 1), "é" * (spare // 2 + 1), "a\nb", "a\rb"):
            with pytest.raises(InvalidKeyError, match="object names"):
                await store.get(key)
        with pytest.raises(InvalidKeyError, match="acme-challenge"):
            await make(bucket_of(fake_gcs_endpoint)).get(".well-known/acme-challenge/a")
    assert seen == []
    await put(store, "a" * spare)
    assert await store.exists("a" * spare)


async def test_a_generation_in_a_path_is_rejected_with_version_aware(make: Any) -> None:
    store = make(version_aware=True)
    await put(store, "a", "a#b")
    assert await read(store, "a#b") == b"a#b"
    for key in ("a#123", "a?generation=5"):
        with pytest.raises(InvalidKeyError, match="version_aware"):
            await store.get(key)
    with pytest.raises(StoreURLError, match="version_aware"):
        make("some-bucket/a#123", version_aware=True)
    other = make()
    await put(other, "a#123", "a?generation=5")
    assert await listed(other.list_prefix("a")) == ["a", "a#123", "a#b", "a?generation=5"]


async def test_pages_follow_each_other(make: Any, proxy: FaultProxy) -> None:
    store = make()
    directory = f"{store.path}/"
    bucket, _, prefix = directory.partition("/")

    def page(token: str | None, *names: str) -> Answer:
        items = [{"name": prefix + name, "size": "1"} for name in names]
        return Answer(200, {}, json.dumps({"items": items, "nextPageToken": token}).encode())

    pages = iter([page("x y", "a"), page("z"), page(None, "b")])
    proxy.plan = lambda *_: next(pages)
    with proxy.watching() as seen:
        found = [page async for page in store._backend.pages(directory, "", recursive=True)]
    assert [page.objects for page in found] == [
        [(f"{directory}a", 1)],
        [],
        [(f"{directory}b", 1)],
    ]
    assert "pageToken=x%20y" in seen[1].target
    assert bucket in seen[2].target


SILENT = """
import asyncio, gc, os, sys, threading
from fsspec_store import Buffer, FsspecStore

def store():
    return FsspecStore.from_url({url!r}, {options!r})

async def use(store, data=b"value"):
    await store.set("a/b", Buffer.from_bytes(data))
    assert (await store.get("a/b")).to_bytes() == data
    assert [key async for key in store.list()] == ["a/b"]

kept = store()
asyncio.run(use(kept))
asyncio.run(use(kept))

async def dropped():
    await use(store())
    gc.collect()
asyncio.run(dropped())

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(use(kept), loop).result()

child = os.fork()
if child == 0:
    asyncio.run(use(kept, b"child"))
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("done")
"""


def test_nothing_is_printed_at_exit(fake_gcs_endpoint: GCSEndpoint) -> None:
    program = SILENT.format(
        url=f"gs://{new_root(fake_gcs_endpoint)}",
        options=fake_gcs_endpoint.storage_options(),
    )
    done = subprocess.run(
        [
            sys.executable,
            "-Walways::ResourceWarning",
            # Python warns about a fork beside fsspec's thread.
            "-Wignore:This process:DeprecationWarning",
            "-c",
            program,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)
