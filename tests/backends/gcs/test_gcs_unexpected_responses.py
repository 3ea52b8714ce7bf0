"""Unexpected responses on Google Cloud Storage: missing sizes, HTML pages, late credentials."""

from __future__ import annotations

import asyncio
import inspect
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from conformance.support import listed, read
from gcsfs.credentials import GoogleCredentials
from google.oauth2.credentials import Credentials
from servers.google_accounts import GoogleAccounts
from servers.scripted import Peer, scripted_server
from servers.scripted_s3 import Asked, Reply, scripted_s3

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError

HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><body><h1>Sorry</h1><br></body></html>"


def open_at(url: str, token: Any = "anon", root: str = "x") -> FsspecStore:
    options = {"endpoint_url": url, "token": token, "skip_instance_cache": True}
    return FsspecStore.from_url(f"gs://bucket/{root}", options, retries=0, timeout=10)


def error_response(status: int, message: str) -> Reply:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


def service(request: Asked) -> Reply:
    """A value of three bytes at every name but ``missing``, without its size in metadata."""
    name = unquote(request.path.rpartition("/")[2])
    if request.path.endswith("/o"):
        return Reply(200, b'{"items": [{"name": "x/a"}, {"name": "x/b", "size": "3"}]}')
    if name.endswith("missing"):
        return error_response(404, "No such object: bucket/x/missing")
    if "alt=media" not in request.query:
        return Reply(204) if request.method == "DELETE" else Reply(200, b"{}")
    headers = {"X-Goog-Generation": "1", "ETag": "e"}
    if name.endswith("empty"):
        return Reply(416, b"", headers) if "range" in request.headers else Reply(200, b"", headers)
    if "range" in request.headers:
        return Reply(206, b"a", {**headers, "Content-Range": "bytes 0-0/3"})
    return Reply(200, b"abc", headers)


async def test_sizes_missing_in_metadata_and_listings() -> None:
    async with scripted_s3(service) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        assert await store.getsize("empty") == 0
        assert not await store.exists("missing")
        assert await store.getsize_prefix("") == 6


@pytest.mark.parametrize("document", [b'{"size": "0"}', b'{"size": 0, "crc32c": "yZRlqg=="}'])
async def test_a_size_of_zero_is_verified(document: bytes) -> None:
    def respond(request: Asked) -> Reply:
        return service(request) if "alt=media" in request.query else Reply(200, document)

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        assert await store.getsize("empty") == 0


async def test_a_part_longer_than_its_range_states_no_size() -> None:
    def respond(request: Asked) -> Reply:
        if "alt=media" not in request.query:
            return Reply(200, b"{}")
        length = str(33 * 2**20)
        return Reply(206, b"", {"Content-Length": length, "Content-Range": "bytes 0-0/5"})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        with pytest.raises(BackendError, match="received for one byte"):
            await store.getsize("a")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(416, b"", {"Content-Range": "bytes */100"}),
        Reply(206, b"", {"Content-Range": "bytes 98-99/100"}),
        Reply(200, b"", {"X-Goog-Hash": "crc32c=yZRlqg=="}),
    ],
    ids=["refused", "part", "whole"],
)
async def test_an_empty_suffix_of_a_value_is_an_error(reply: Reply) -> None:
    async with scripted_s3(lambda request: reply) as server, open_at(server.url) as store:
        with pytest.raises(BackendError, match=r"for a suffix range|checksum"):
            await store.get("a", byte_range=SuffixByteRequest(2))


async def test_a_rejected_suffix_is_an_empty_value_or_an_error() -> None:
    def respond(request: Asked) -> Reply:
        is_suffix = request.headers.get("range", "").startswith("bytes=-")
        return Reply(416) if is_suffix else service(request)

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        assert await read(store, "empty", SuffixByteRequest(2)) == b""
        with pytest.raises(BackendError, match="rejects a suffix range"):
            await store.get("a", byte_range=SuffixByteRequest(2))


@pytest.mark.parametrize("generation", ["", "0", "-1", "abc", "1, 2", "1" * 30])
async def test_an_invalid_generation_is_an_error(generation: str) -> None:
    def respond(request: Asked) -> Reply:
        return Reply(200, b"abc", {"X-Goog-Generation": generation})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        for use in (store.get_version("a"), store.set_partial_values([("a", 0, b"x")])):
            with pytest.raises(BackendError, match="no valid generation"):
                await use


@pytest.mark.parametrize(
    "page",
    [Reply(200, PAGE, {**HTML, "ETag": '"e"'}), Reply(200, b"<!-- --><h1>Sorry</h1>", HTML)],
    ids=["tag", "comment"],
)
async def test_an_html_page_is_not_a_value(page: Reply) -> None:
    async with scripted_s3(lambda request: page) as server, open_at(server.url) as store:
        for request in (None, RangeByteRequest(0, 2)):
            with pytest.raises(BackendError, match="status 200"):
                await store.get("a", byte_range=request)


async def test_a_token_in_a_listing_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    token = "ya29.a-token-of-somebody"

    def respond(request: Asked) -> Reply:
        names = ["x/a", request.headers["authorization"]]
        return Reply(200, json.dumps({"items": [{"name": name} for name in names]}).encode())

    async with scripted_s3(respond) as server, open_at(server.url, Credentials(token)) as store:
        assert await listed(store.list()) == ["a"]
    assert "ignores the prefix" in caplog.text
    assert token not in caplog.text


async def test_a_404_of_another_server_is_an_error() -> None:
    def respond(request: Asked) -> Reply:
        return service(request) if request.path.endswith("a") else Reply(404, b"404 page not found")

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        assert await read(store, "a") == b"abc"
        with pytest.raises(BackendError, match="does not speak Google's JSON API"):
            await store.get("b")


@pytest.mark.parametrize("part", [PAGE, b"404 page not found"])
async def test_a_key_whose_deletion_in_a_batch_failed_at_another_server_is_deleted(
    part: bytes,
) -> None:
    def respond(request: Asked) -> Reply:
        if request.method != "POST":
            return service(request)
        parts = (
            b"--b\r\nContent-ID: <response-0>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n",
            b"--b\r\nContent-ID: <response-1>\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n" + part,
            b"\r\n--b--",
        )
        return Reply(200, b"".join(parts), {"Content-Type": "multipart/mixed; boundary=b"})

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        await store.delete_dir("")
        deleted = [request.path for request in server.seen if request.method == "DELETE"]
        assert [unquote(path.rpartition("/")[2]) for path in deleted] == ["x/a", "x/b"]


async def test_an_error_page_in_a_batch_is_an_error() -> None:
    def respond(request: Asked) -> Reply:
        if request.method != "POST":
            return service(request)
        part = b"--b\r\nContent-ID: <response-0>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + PAGE
        headers = {"Content-Type": "multipart/mixed; boundary=b"}
        return Reply(200, part + b"\r\n--b--", headers)

    async with scripted_s3(respond) as server, open_at(server.url) as store:
        with pytest.raises(BackendError, match="does not speak Google's JSON API"):
            await store.delete_dir("")


# -- Credentials -----------------------------------------------------------------------------------


def check_token(request: Asked) -> Reply:
    authorization = request.headers.get("authorization", "")
    return (
        service(request)
        if authorization == "Bearer good"
        else error_response(401, "Invalid Credentials")
    )


def tokens(request: Asked) -> Reply:
    """The token endpoint, which accepts only new keys."""
    if "new" not in request.query:
        return Reply(400, b'{"error": "invalid_grant"}', {"Content-Type": "application/json"})
    token = b'{"access_token": "good", "expires_in": 3600}'
    return Reply(200, token, {"Content-Type": "application/json"})


def respond_with_tokens(request: Asked) -> Reply:
    return tokens(request) if request.path.startswith("/token") else check_token(request)


async def test_default_credentials_that_appear_after_the_store_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "on_google" not in inspect.signature(GoogleCredentials).parameters:
        # A slow lookup delays the next one.
        pytest.skip("cannot: this release of gcsfs always looks up the metadata service")
    file = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    accounts = GoogleAccounts()
    async with (
        scripted_s3(respond_with_tokens) as server,
        await asyncio.to_thread(open_at, server.url, None) as store,
    ):
        with pytest.raises(AccessDeniedError, match="Invalid Credentials"):
            await store.get("a")
        accounts.token_url = f"{server.url}/token?new"
        accounts.write_key(file, "me", may_write=True)
        assert await read(store, "a") == b"abc"
        before = len(server.seen)
        assert await read(store, "a") == b"abc"
        assert len(server.seen) == before + 1


async def test_a_corrected_key_file_is_read_again(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"
    async with scripted_s3(respond_with_tokens) as server:
        accounts.token_url = f"{server.url}/token?old"
        accounts.write_key(file, "me", may_write=True)
        async with open_at(server.url, str(file)) as store:
            reads = [store.get(f"c/{number}") for number in range(60)]
            found = await asyncio.gather(*reads, return_exceptions=True)
            assert all(isinstance(each, AccessDeniedError) for each in found)
            assert len(server.seen) <= 4
            accounts.token_url = f"{server.url}/token?new"
            accounts.write_key(file, "me", may_write=True)
            assert await read(store, "a") == b"abc"


async def test_a_token_request_has_a_timeout(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"

    async with scripted_server(Peer.closed) as server:
        url = f"http://{server.host}:{server.port}"
        accounts.token_url = f"{url}/token"
        accounts.write_key(file, "me", may_write=True)
        options = {"endpoint_url": url, "token": str(file), "skip_instance_cache": True}
        async with FsspecStore.from_url("gs://bucket", options, retries=0, timeout=0.5) as store:
            # google-auth itself waits for two minutes.
            with pytest.raises(BackendError, match="timed out"):
                await asyncio.wait_for(store.get("a"), 30)


async def test_an_error_repeats_no_assertion(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"
    sent: list[str] = []

    def respond(request: Asked) -> Reply:
        sent.append(request.body.decode().partition("assertion=")[2].partition("&")[0])
        body = json.dumps({"error": "invalid_grant", "error_description": request.body.decode()})
        return Reply(400, body.encode(), {"Content-Type": "application/json"})

    async with scripted_s3(respond) as server:
        accounts.token_url = f"{server.url}/token"
        accounts.write_key(file, "me", may_write=True)
        async with open_at(server.url, str(file)) as store:
            with pytest.raises(AccessDeniedError, match="invalid_grant") as caught:
                await store.get("a")
    link: BaseException | None = caught.value
    while link is not None:
        assert not [text for text in sent if text in repr((link, vars(link)))]
        link = link.__cause__ or link.__context__
    assert len(sent[0]) > 100


@pytest.mark.parametrize("token", ["ya29.a-token\n", "ya29.a\r\nX-Header: b", "ya29.\u4e2d"])
async def test_a_token_that_is_invalid_in_a_header(token: str) -> None:
    async with scripted_s3(service) as server, open_at(server.url, Credentials(token)) as store:
        with pytest.raises(AccessDeniedError, match="line break or another character") as caught:
            await store.get("a")
    assert repr(token) not in repr(caught.value)
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__context__ is None
