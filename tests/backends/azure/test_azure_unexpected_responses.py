"""Unexpected responses on Azure: missing sizes, HTML pages, older API versions."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from conformance.support import buf, listed, put, read
from servers.scripted import Peer, scripted_server
from servers.scripted_s3 import Asked, Reply, scripted_s3

from fsspec_store import FsspecStore, RangeByteRequest, StoreError, SuffixByteRequest
from fsspec_store.errors import BackendError, VersionMismatchError

HTML = {"Content-Type": "text/html; charset=utf-8"}
EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="


def open_at(url: str) -> FsspecStore:
    key = base64.b64encode(b"key").decode()
    account = f"AccountName=account;AccountKey={key};BlobEndpoint={url}/account"
    options = {"connection_string": account, "skip_instance_cache": True}
    return FsspecStore.from_url("az://container/x", options, retries=0, timeout=10)


LISTING = (
    b"<EnumerationResults><Blobs><Blob><Name>x/a</Name><Properties/></Blob>"
    b"<Blob><Name>x/b</Name><Properties><Content-Length>3</Content-Length></Properties></Blob>"
    b"</Blobs><NextMarker/></EnumerationResults>"
)


def service(request: Asked) -> Reply:
    """A value of three bytes at every name but ``missing``; HEAD states no size."""
    if "comp=list" in request.query:
        return Reply(200, LISTING, {"Content-Type": "application/xml"})
    if request.path.endswith("missing"):
        return Reply(404, b"", {"x-ms-error-code": "BlobNotFound"})
    if request.method == "DELETE":
        return Reply(202)
    if request.method == "PUT":
        return Reply(201, b"", {"ETag": '"e"'})
    headers: dict[str, str | None] = {"ETag": '"e"', "x-ms-version": "2021-12-02"}
    if request.method == "HEAD":
        if request.path.endswith("known"):
            return Reply(200, b"", {**headers, "Content-MD5": EMPTY_MD5})
        return Reply(200, b"", {**headers, "Content-Length": None})
    if request.path.endswith("empty"):
        return (
            Reply(416, b"", headers)
            if "x-ms-range" in request.headers
            else Reply(200, b"", headers)
        )
    if request.headers.get("x-ms-range") == "bytes=0-0":
        return Reply(206, b"a", {**headers, "Content-Range": "bytes 0-0/3"})
    if "x-ms-range" in request.headers:
        return Reply(206, b"bc", {**headers, "Content-Range": "bytes 1-2/3"})
    return Reply(200, b"abc", headers)


async def test_sizes_missing_in_heads_and_listings() -> None:
    async with scripted_s3(service) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        assert await store.getsize("empty") == 0
        assert not await store.exists("missing")
        before = len(server.seen)
        assert await store.getsize("known") == 0
        assert len(server.seen) == before + 1
        assert await store.getsize_prefix("") == 6


async def test_a_large_blob_with_a_wrong_content_md5() -> None:
    data = bytes(range(256)) * (33 * 4096)
    headers = {"ETag": '"e"', "Content-MD5": EMPTY_MD5, "x-ms-blob-type": "BlockBlob"}

    def respond(request: Asked) -> Reply:
        if (
            wanted := re.match(r"bytes=(\d+)-(\d+)", request.headers.get("x-ms-range", ""))
        ) is None:
            return Reply(200, data, headers)
        first, last = int(wanted[1]), int(wanted[2])
        content_range = f"bytes {first}-{last}/{len(data)}"
        return Reply(206, data[first : last + 1], {**headers, "Content-Range": content_range})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        assert await read(store, "a") == data


@pytest.mark.parametrize(
    ("etag", "total"), [('W/"e"', "3"), ("e", "3"), ('"e"', "*")], ids=["weak", "none", "no total"]
)
async def test_a_suffix_without_a_strong_etag(etag: str, total: str) -> None:
    def respond(request: Asked) -> Reply:
        if "if-match" in request.headers and total == "3":
            return Reply(412, b"", {"x-ms-error-code": "ConditionNotMet"})
        if request.method == "HEAD":
            return Reply(200, b"", {"ETag": etag, "Content-Length": "3"})
        return Reply(206, b"bc", {"ETag": etag, "Content-Range": f"bytes 1-2/{total}"})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        found = await store.get("a", byte_range=SuffixByteRequest(2))
        assert found is not None
        assert found.to_bytes() == b"bc"


@pytest.mark.parametrize("code", [None, "ConditionNotMet, ConditionNotMet"])
async def test_a_failed_condition_without_its_error_code(code: str | None) -> None:
    unmet = Reply(412, b"", {"x-ms-error-code": code})

    def respond(request: Asked) -> Reply:
        return unmet if request.method == "PUT" else service(request)

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        await store.set_if_not_exists("a", buf(b"x"))
        with pytest.raises(VersionMismatchError):
            await store.set("a", buf(b"x"), if_match='"e"')
        with pytest.raises(BackendError):
            await store.set("a", buf(b"x"))


async def test_an_error_repeats_little_of_an_unexpected_response() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"x" * 2**17)

    async with scripted_server(script) as server:
        url = f"http://{server.host}:{server.port}"
        async with open_at(url) as store:
            # First by the native transport, then by aiohttp.
            for _ in range(2):
                with pytest.raises(BackendError) as caught:
                    await store.getsize("a")
                assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "text",
    [
        b"<HeaderName>x-ms-version</HeaderName><HeaderValue>2021-12-02</HeaderValue>",
        b"<Message>The API version 2021-12-02 is not supported by Azurite.</Message>",
    ],
)
async def test_a_service_with_an_older_api_version(
    text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"<Error><Code>InvalidHeaderValue</Code>" + text + b"</Error>"

    def respond(request: Asked) -> Reply:
        if request.headers["x-ms-version"] > "2018":
            # The response to a HEAD has no body.
            return Reply(400, body, {"x-ms-error-code": "InvalidHeaderValue"})
        return service(request)

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        before = len(server.seen)
        assert await read(store, "a") == b"abc"
        await put(store, "a")
        assert await listed(store.list()) == ["a", "b"]
        assert len(server.seen) == before + 3
    assert len(caplog.records) == 2


async def test_a_service_without_a_supported_version_is_an_error() -> None:
    error_response = Reply(400, b"x-ms-version", {"x-ms-error-code": "InvalidHeaderValue"})
    async with scripted_s3(lambda _: error_response) as server, open_at(server.url) as store:
        for _ in range(2):
            with pytest.raises(BackendError, match="InvalidHeaderValue"):
                await store.get("a")


@pytest.mark.parametrize("status", [404, 403])
@pytest.mark.parametrize("has_size", [True, False])
@pytest.mark.parametrize("before", [0, 4025])
async def test_an_error_of_a_read_repeats_no_signature(
    status: int, has_size: bool, before: int
) -> None:
    sent: list[str] = []

    def respond(request: Asked) -> Reply:
        if request.method == "HEAD":
            return Reply(200, b"", {"ETag": '"e"', "Content-Length": "3" if has_size else None})
        sent.append(request.headers["authorization"].rpartition(":")[2])
        text = f"<Error><Code>Other</Code><Message>{'x' * before}{sent[-1]}</Message></Error>"
        return Reply(status, text.encode(), {"x-ms-error-code": f"Other-{sent[-1]}"})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        uses: list[Callable[[], Any]] = [
            lambda: store.get("a"),
            lambda: store.get("a", byte_range=RangeByteRequest(0, 2)),
            lambda: store.get("a", byte_range=SuffixByteRequest(2)),
        ]
        for use in uses:
            with pytest.raises(StoreError) as caught:
                await use()
            error: BaseException | None = caught.value
            while error is not None:
                assert sent[-1][:12] not in f"{error} {vars(error)}"
                error = error.__cause__ or error.__context__


async def test_a_signature_may_end_with_a_line_break() -> None:
    async with scripted_s3(service) as server:
        account = f"AccountName=account;BlobEndpoint={server.url}/account"
        options = {"connection_string": f"{account};SharedAccessSignature=sig=a%3D\n"}
        async with FsspecStore.from_url("az://container/x", options, retries=0) as store:
            assert await read(store, "a") == b"abc"
            assert server.seen[-1].query == "sig=a%3D"


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_password_of_a_proxy_is_not_in_errors(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = base64.b64encode(b"user:pr0xypass").decode()
    error_response = Reply(407, f"<html>pr0xypass {pair}".encode(), HTML)
    async with scripted_s3(lambda _: error_response) as proxy:
        host = proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"{scheme}user:pr0xypass@{host}")
        async with open_at("http://store.invalid") as store:
            with pytest.raises(BackendError, match="status 407") as caught:
                await store.get("a")
        assert proxy.seen[0].headers["proxy-authorization"] == f"Basic {pair}"
    error: BaseException | None = caught.value
    while error is not None:
        assert not re.search(f"pr0xypass|{pair}", f"{error} {vars(error)}")
        error = error.__cause__ or error.__context__
