"""What the tests of S3's transports share: every call of a store, and the requests it sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from conformance.support import buf, listed, put, read
from servers import S3Endpoint
from servers.fault_proxy import FaultProxy, Seen

from fsspec_store import FsspecStore, RangeByteRequest

#: What differs from one request to the next, or from one HTTP library to another.
_OF_THE_MOMENT = frozenset(
    {
        "accept",
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "content-md5",
        "content-type",
        "expect",
        "user-agent",
        "x-amz-checksum-crc32",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-sdk-checksum-algorithm",
    }
)


def options_of(endpoint: S3Endpoint, proxy: FaultProxy | None = None, **more: Any) -> Any:
    """Storage options by which a server is reached, or a proxy before it."""
    url = endpoint.url if proxy is None else proxy.url
    options = dataclasses.replace(endpoint, url=url).storage_options()
    for name, value in more.items():
        if isinstance(value, Mapping):
            value = {**options.get(name, {}), **value}
        options[name] = value
    return {name: value for name, value in options.items() if value is not None}


async def use(store: FsspecStore) -> None:
    """Each call of the native transport, parts of large values left out."""
    await put(store, "a", "c/0", "c/1")
    assert await read(store, "a") == b"a"
    assert await read(store, "c/0", RangeByteRequest(1, 3)) == b"/0"
    assert await read(store, "missing") is None
    assert await store.exists("a")
    assert await store.getsize("c/0") == 3
    assert await listed(store.list()) == ["a", "c/0", "c/1"]
    assert await listed(store.list_dir("")) == ["a", "c"]
    await store.delete("a")
    await store.delete_dir("c")
    assert await listed(store.list()) == []
    await store.set("left", buf(b"over"))


def wire(seen: Sequence[Seen]) -> list[tuple[str, str, dict[str, str]]]:
    """What the requests ask for, whoever sent them: method, target, and the headers that matter."""
    asked = []
    for request in seen:
        path, _, query = request.target.partition("?")
        # "uploads" and "uploads=" are the same.
        names = sorted(part.removesuffix("=") for part in query.split("&"))
        headers = {
            name: value
            for name, value in request.headers.items()
            # The length of no body is said by some. Bulk deletes by s3fs ask for longer answers.
            if name not in _OF_THE_MOMENT
            and (name, value) != ("content-length", "0")
            and (request.method, name) != ("POST", "content-length")
        }
        asked.append((request.method, f"{path}?{'&'.join(names)}", headers))
    return asked


def store_of(url: str, options: Any, **more: Any) -> FsspecStore:
    """A store that gives up soon."""
    return FsspecStore.from_url(url, options, **{"timeout": 5, "retries": 2, **more})


@contextmanager
def opened(url: str, options: Any, **more: Any) -> Iterator[FsspecStore]:
    """The same, closed at the end."""
    store = store_of(url, options, **more)
    try:
        yield store
    finally:
        store.close()


def check_transport(store: FsspecStore, transport: str) -> None:
    """All of a store's requests went by one transport."""
    assert store.stats.requests > 0
    assert store.stats.native == (store.stats.requests if transport == "auto" else 0)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the transports have logged."""
    return [record.getMessage() for record in caplog.records if record.name == "fsspec_store.s3"]


def reasons(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """By method, why it goes through s3fs."""
    found = {}
    for text in said(caplog):
        method, _, reason = text.partition(" of the S3 bucket ")
        found[method] = reason.partition("goes through s3fs: ")[2]
    return found


async def make_bucket(options: Any) -> str:
    """A bucket made by s3fs itself, for settings that the endpoint's own client does not know."""
    store = FsspecStore.from_url("s3://not-yet-there/x", options, transport="library")
    bucket = f"test-{uuid4().hex}"
    await store._backend._client.transports.fs._call_s3("create_bucket", Bucket=bucket)
    await store.aclose()
    return bucket
