"""Listings with entries that nobody asked for, and listings without an end, of each service."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

import pytest
from conformance.support import collect, listed
from fsspec.implementations.memory import MemoryFileSystem
from gcsfs import GCSFileSystem
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore
from fsspec_store._backends.pages import MAX_EMPTY_PAGES, Continuation, Page
from fsspec_store.errors import BackendError, StoreError

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def s3_store(url: str, **options: Any) -> FsspecStore:
    given = {"key": "AKIDEXAMPLE", "secret": "SECRETSECRET", "endpoint_url": url}
    return FsspecStore.from_url("s3://bucket/root", given, retries=0, **options)


def google_store(url: str) -> FsspecStore:
    fs = GCSFileSystem(token="anon", project="t", endpoint_url=url, skip_instance_cache=True)
    return FsspecStore(fs, "bucket/root", retries=0)


def azure_store(url: str) -> FsspecStore:
    given = f"BlobEndpoint={url}/account;AccountName=account;AccountKey={KEY}"
    options = {"account_name": "account", "connection_string": given}
    return FsspecStore.from_url("az://bucket/root", options, retries=0)


def s3_page(keys: Iterable[str], prefixes: Iterable[str], token: str | None) -> str:
    body = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    body += "".join(f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in prefixes)
    body += f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>"
    if token:
        body += f"<NextContinuationToken>{token}</NextContinuationToken>"
    return f"<ListBucketResult>{body}</ListBucketResult>"


def google_page(keys: Iterable[str], prefixes: Iterable[str], token: str | None) -> str:
    items = [{"name": key, "size": "1"} for key in keys]
    return json.dumps({"items": items, "prefixes": list(prefixes), "nextPageToken": token})


def azure_page(keys: Iterable[str], prefixes: Iterable[str], token: str | None) -> str:
    size = "<Properties><Content-Length>1</Content-Length></Properties>"
    body = "".join(f"<Blob><Name>{key}</Name>{size}</Blob>" for key in keys)
    body += "".join(f"<BlobPrefix><Name>{prefix}</Name></BlobPrefix>" for prefix in prefixes)
    marker = f"<NextMarker>{token or ''}</NextMarker>"
    return f"<EnumerationResults><Blobs>{body}</Blobs>{marker}</EnumerationResults>"


SERVICES: dict[str, tuple[Callable[..., FsspecStore], Callable[..., str]]] = {
    "S3": (s3_store, s3_page),
    "S3, by s3fs": (lambda url: s3_store(url, transport="library"), s3_page),
    "Google": (google_store, google_page),
    "Azure": (azure_store, azure_page),
}
Listing = Callable[[], tuple[Sequence[str], Sequence[str], str | None]]


@dataclass
class Service:
    """Answers each page of any listing with the next of these, and remembers what it deletes."""

    store: FsspecStore
    page: Callable[..., str]
    #: Keys, common prefixes, and the token of the next page.
    listing: Listing = lambda: ((), (), None)
    deleted: list[str] = field(default_factory=list)
    pages: int = 0
    #: Status and body in place of every page but the first; half of the body is sent of a "half".
    end: tuple[int | Literal["half"], str] | None = None

    def always(self, *keys: str, prefixes: Sequence[str] = ()) -> None:
        """The whole listing, whatever is asked for."""
        self.listing = lambda: (keys, prefixes, None)

    def answer(self, request: bytes) -> tuple[int | Literal["half"], str]:
        line = request.partition(b" HTTP/1.1")[0].decode()
        if line.startswith("GET"):
            self.pages += 1
            if self.end and re.search("continuation-token=|pageToken=|marker=", line):
                return self.end
            return 200, self.page(*self.listing())
        if line.startswith("POST") and "delete" in line:
            keys = re.findall("<Key>([^<]*)", request.decode())
            self.deleted += keys
            deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
            return 200, f"<DeleteResult>{deleted}</DeleteResult>"
        if line.startswith("DELETE"):
            self.deleted.append(unquote(re.split("/bucket/(?:o/)?", line, maxsplit=1)[1]))
            return 202 if "account" in line else 204, ""
        # No batches are taken.
        return 405, ""


@asynccontextmanager
async def service(name: str) -> AsyncIterator[Service]:
    async def serve(peer: Peer) -> None:
        while True:
            try:
                status, body = running.answer(await peer.request())
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            head = f"HTTP/1.1 {200 if status == 'half' else status} X\r\n"
            if status != 204:
                head += f"Content-Length: {len(body)}\r\n"
            if status == "half":
                return await peer.send(f"{head}\r\n{body[: len(body) // 2]}".encode())
            await peer.send(f"{head}\r\n{body}".encode())

    make, page = SERVICES[name]
    async with scripted_server(serve) as server:
        running = Service(make(f"http://127.0.0.1:{server.port}"), page)
        async with running.store, asyncio.timeout(60):
            yield running


CALLS: dict[str, Callable[[FsspecStore], Any]] = {
    "list": lambda store: listed(store.list()),
    "list_prefix": lambda store: listed(store.list_prefix("a/")),
    "list_prefix, several": lambda store: listed(store.list_prefix("a/", fan_out=2)),
    "list_dir": lambda store: listed(store.list_dir("a")),
    "is_empty": lambda store: store.is_empty("a"),
    "getsize_prefix": lambda store: store.getsize_prefix("a"),
    "delete_dir": lambda store: store.delete_dir("a"),
    "clear": lambda store: store.clear(),
}


@pytest.mark.parametrize("name", SERVICES)
async def test_entries_outside_of_the_prefix_are_skipped(name: str) -> None:
    async with service(name) as running:
        store = running.store
        # As of a cache that ignores the query: the whole bucket, whatever is asked for.
        running.always("other/x", "root/a", "root-2/a/x", "root/a/deep/x", "root/a/ok", "root/b/x")
        assert await listed(store.list()) == ["a", "a/deep/x", "a/ok", "b/x"]
        assert await listed(store.list_prefix("a/")) == ["a/deep/x", "a/ok"]
        assert await listed(store.list_dir("a")) == ["deep", "ok"]
        assert await store.getsize_prefix("a") == 2
        assert not await store.is_empty("a")
        await store.delete_dir("a")
        assert sorted(running.deleted) == ["root/a/deep/x", "root/a/ok"]
        await store.clear()
        assert {key.partition("/")[0] for key in running.deleted} == {"root"}


@pytest.mark.parametrize("name", SERVICES)
async def test_a_key_that_a_page_repeats_is_listed_once(name: str) -> None:
    async with service(name) as running:
        store = running.store
        running.always("root/a/x", "root/a/x", "root/a/y", "root/a/x")
        for fan_out in (1, 2):
            assert await listed(store.list_prefix("", fan_out=fan_out)) == ["a/x", "a/y"]
        assert await collect(store.list_sizes("a/")) == [("a/x", 1), ("a/y", 1)]
        assert await store.getsize_prefix("a") == 2
        await store.delete_dir("a")
        assert sorted(running.deleted) == ["root/a/x", "root/a/y"]


@pytest.mark.parametrize("name", SERVICES)
async def test_a_response_to_another_request_is_an_error(name: str) -> None:
    async with service(name) as running:
        running.always("root-2/a/x", "root", "other/x")
        for call in CALLS.values():
            with pytest.raises(BackendError, match=r"'bucket/root/.* returned 'bucket/root-2"):
                await call(running.store)
        # What was not grouped has to be listed, not what groups hide.
        running.always(prefixes=["root/a/", "root/b/"])
        with pytest.raises(BackendError, match="would be missing"):
            await listed(running.store.list())
        assert running.deleted == []


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "Google"])
async def test_a_response_that_states_another_prefix_is_an_error(name: str) -> None:
    async with service(name) as running:
        page, told = running.page, "root/a/x"

        def of_another(*args: Any) -> str:
            # As a cache that ignores the query kept it: all of it fits, and the rest is missing.
            return re.sub("(<ListBucketResult>|<EnumerationResults>)", answered, page(*args))

        running.page = of_another
        running.always("root/a/x/1")
        for call in (CALLS["list"], CALLS["is_empty"], CALLS["delete_dir"]):
            answered = rf"\1<Prefix>{told}</Prefix>"
            with pytest.raises(BackendError, match="returned one of 'root/a/x'"):
                await call(running.store)
        # Shorter ones hold all that was asked for, however they are quoted.
        for told in ("root/", "root%2F", "", "roo"):
            answered = rf"\1<Prefix>{told}</Prefix>"
            assert await listed(running.store.list()) == ["a/x/1"]
        assert running.deleted == []


@pytest.mark.parametrize("name", SERVICES)
async def test_what_may_be_taken_for_another_path_is_not_deleted(name: str) -> None:
    async with service(name) as running:
        for key in ("root/a/../../other/x", "root/a/.."):
            running.always("root/a/ok", key)
            for call in (CALLS["delete_dir"], CALLS["clear"]):
                with pytest.raises(BackendError, match=re.escape(key)):
                    await call(running.store)
        assert running.deleted == []
        assert await listed(running.store.list()) == ["a/ok"]


@pytest.mark.parametrize("name", SERVICES)
async def test_a_listing_that_repeats_is_an_error(name: str) -> None:
    async with service(name) as running:
        for call in CALLS.values():
            # By tokens: A, B, A, B, ...
            tokens, numbers = itertools.cycle("AB"), itertools.count()
            running.listing = lambda t=tokens, n=numbers: ((f"root/a/{next(n)}",), (), next(t))
            if call is not CALLS["is_empty"]:
                with pytest.raises(BackendError, match="never end"):
                    await call(running.store)
            # By pages, each with a new token.
            keys = itertools.cycle(["root/a/1", "root/a/2"])
            running.listing = lambda k=keys, n=numbers: ((next(k),), (), f"t{next(n)}")
            if call is not CALLS["is_empty"]:
                with pytest.raises(BackendError, match="never end"):
                    await call(running.store)
        assert running.pages < 200


@pytest.mark.parametrize("status", [200, 403, 404, 500, "half"])
@pytest.mark.parametrize("name", SERVICES)
async def test_a_listing_that_breaks_off_is_an_error(name: str, status: Any) -> None:
    async with service(name) as running:
        running.listing = lambda: (("root/a/1", "root/a/2"), (), "token")
        body = running.page(("root/a/3",), (), None) if status == "half" else "<html></html>"
        running.end = status, body
        for call in ("list", "list_prefix", "list_dir", "getsize_prefix", "delete_dir", "clear"):
            with pytest.raises(StoreError):
                await CALLS[call](running.store)
        assert running.pages >= 12


def test_empty_pages_are_bounded() -> None:
    continuation = Continuation()
    for number in range(MAX_EMPTY_PAGES - 1):
        continuation.check(f"t{number}", Page([]))
    # Something new begins another run of them.
    continuation.check("key", Page([("a", 1)]))
    for number in range(MAX_EMPTY_PAGES):
        # As of a service that counts all keys below a prefix as a page of it.
        continuation.check(f"u{number}", Page([], ["p"]))
    with pytest.raises(OSError, match=f"{MAX_EMPTY_PAGES} pages"):
        continuation.check("end", Page([], ["p"]))


class Folders(MemoryFileSystem):
    """Folders that list themselves, each other, a neighbour, and the same ones again."""

    protocol = "folders"

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        found = super().ls(path, detail=True)
        folders = [f"{self.root}/{name}" for name in ("a", "b", "ab", "")]
        found += [{"name": name, "size": 0, "type": "directory"} for name in (path, *folders)]
        return found * 2 if detail else [each["name"] for each in found]


async def test_folders_that_link_to_each_other_are_listed_once() -> None:
    fs = Folders()
    fs.root = "/test_folders"
    for key in ("a/1", "b/2", "ab/3", "top"):
        fs.pipe_file(f"{fs.root}/{key}", b"x")
    store = FsspecStore(fs, fs.root)
    assert sorted(await collect(store.list())) == ["a/1", "ab/3", "b/2", "top"]
    assert await listed(store.list_prefix("a/")) == ["a/1"]
    assert sorted(await collect(store.list_dir(""))) == ["a", "ab", "b", "top"]
    await store.delete_dir("a")
    assert sorted(await collect(store.list())) == ["ab/3", "b/2", "top"]
    await store.clear()
    assert await store.is_empty("")


class Endless(MemoryFileSystem):
    """Each folder holds another one, as one does that holds itself."""

    protocol = "endless"

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        return [{"name": f"{path.rstrip('/')}/loop", "size": 0, "type": "directory"}]


async def test_a_folder_that_holds_itself_is_an_error() -> None:
    store = FsspecStore(Endless(), "/test_endless")
    for call in CALLS.values():
        with pytest.raises(BackendError, match="contain itself"):
            await call(store)
