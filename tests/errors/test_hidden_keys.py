"""A 403 for a read advises missing_on_forbidden where a service may hide missing keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance.support import listed
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore
from fsspec_store.errors import AccessDeniedError, BackendError, UnauthenticatedError

REMEDY = "missing_on_forbidden=True"

S3_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
S3_UNKNOWN = b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"
GOOGLE_DENIED = b'{"error": {"code": 403, "message": "no storage.objects.get access"}}'
AZURE_DENIED = b"<Error><Code>AuthorizationPermissionMismatch</Code></Error>"

Place = Callable[[str], tuple[str, dict[str, Any]]]


def s3(address: str) -> tuple[str, dict[str, Any]]:
    return "s3://bucket/x", {"key": "k", "secret": "s", "endpoint_url": address}


def google(address: str) -> tuple[str, dict[str, Any]]:
    return "gs://bucket/x", {"token": "anon", "endpoint_url": address}


def azure(address: str) -> tuple[str, dict[str, Any]]:
    connection = f"BlobEndpoint={address}/account;AccountName=account;AccountKey=aGlkZGVu"
    return "abfs://container/x", {"connection_string": connection}


def web(address: str) -> tuple[str, dict[str, Any]]:
    return f"{address}/x", {}


SERVICES: dict[str, tuple[Place, bytes, dict[str, Any]]] = {
    "s3": (s3, S3_DENIED, {}),
    "s3 by s3fs": (s3, S3_DENIED, {"transport": "library"}),
    "google": (google, GOOGLE_DENIED, {}),
    "azure": (azure, AZURE_DENIED, {}),
    "web": (web, b"<html>Forbidden</html>", {}),
}


def refusing(body: bytes, status: bytes = b"403 Forbidden") -> Callable[[Peer], Any]:
    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            head = b"HTTP/1.1 " + status + b"\r\nContent-Type: application/xml\r\n"
            if b"account" in asked:
                head += b"x-ms-error-code: AuthorizationPermissionMismatch\r\n"
            head += b"Content-Length: %d\r\n\r\n" % len(body)
            await peer.send(head if asked.startswith(b"HEAD") else head + body)

    return script


@pytest.mark.parametrize("service", SERVICES)
async def test_a_refused_read_names_the_remedy_and_nothing_else_does(service: str) -> None:
    place, body, options = SERVICES[service]
    async with scripted_server(refusing(body)) as server:
        url, storage_options = place(f"http://{server.host}:{server.port}")
        async with FsspecStore.from_url(url, storage_options, retries=0, **options) as store:
            for read in (
                lambda: store.get("a"),
                lambda: store.exists("a"),
                lambda: store.getsize("a"),
                lambda: store.get_partial_values(None, [("a", None)]),
            ):
                with pytest.raises(AccessDeniedError, match=REMEDY):
                    await read()
            for other in (
                lambda: store.delete("a"),
                lambda: listed(store.list()),
                lambda: store.is_empty("a"),
            ):
                if service == "web":
                    continue
                with pytest.raises(AccessDeniedError) as caught:
                    await other()
                assert REMEDY not in str(caught.value)
        told = FsspecStore.from_url(
            url, storage_options, retries=0, missing_on_forbidden=True, **options
        )
        async with told:
            assert await told.get("a") is None
            assert await told.exists("a") is False
            assert told.stats.forbidden_as_missing == 2


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_of_wrong_credentials_it_is_no_remedy(transport: str) -> None:
    async with scripted_server(refusing(S3_UNKNOWN)) as server:
        url, storage_options = s3(f"http://{server.host}:{server.port}")
        async with FsspecStore.from_url(
            url, storage_options, retries=0, transport=transport
        ) as store:
            with pytest.raises(UnauthenticatedError) as caught:
                await store.get("a")
            assert REMEDY not in str(caught.value)


async def test_of_another_failure_it_is_no_remedy() -> None:
    async with scripted_server(refusing(b"", b"500 Internal Server Error")) as server:
        url = f"http://{server.host}:{server.port}/x"
        async with FsspecStore.from_url(url, retries=0) as store:
            with pytest.raises(BackendError) as caught:
                await store.get("a")
            assert REMEDY not in str(caught.value)


async def test_a_folder_of_this_machine_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, *_: Any) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(AccessDeniedError) as caught:
        await FsspecStore.from_url(tmp_path).get("a")
    assert REMEDY not in str(caught.value)
