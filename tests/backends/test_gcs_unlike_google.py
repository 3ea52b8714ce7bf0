"""Google's protocol, spoken by less than Google: credentials that come late, sizes, pages."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
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

from fsspec_store import (
    AccessDeniedError,
    BackendError,
    FsspecStore,
    RangeByteRequest,
    SuffixByteRequest,
)

HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><body><h1>Sorry</h1><br></body></html>"


def open_at(url: str, token: Any = "anon", root: str = "x") -> FsspecStore:
    options = {"endpoint_url": url, "token": token, "skip_instance_cache": True}
    return FsspecStore.from_url(f"gs://bucket/{root}", options, retries=0, timeout=10)


def refused(status: int, message: str) -> Reply:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


def service(asked: Asked) -> Reply:
    """One value of three bytes at every name but ``missing``, without its size in metadata."""
    name = unquote(asked.path.rpartition("/")[2])
    if asked.path.endswith("/o"):
        return Reply(200, b'{"items": [{"name": "x/a"}, {"name": "x/b", "size": "3"}]}')
    if name.endswith("missing"):
        return refused(404, "No such object: bucket/x/missing")
    if "alt=media" not in asked.query:
        return Reply(204) if asked.method == "DELETE" else Reply(200, b"{}")
    headers = {"X-Goog-Generation": "1", "ETag": "e"}
    if name.endswith("empty"):
        return Reply(416, b"", headers) if "range" in asked.headers else Reply(200, b"", headers)
    if "range" in asked.headers:
        return Reply(206, b"a", {**headers, "Content-Range": "bytes 0-0/3"})
    return Reply(200, b"abc", headers)


async def test_sizes_that_metadata_and_lists_leave_out() -> None:
    async with scripted_s3(service) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        assert await store.getsize("empty") == 0
        assert not await store.exists("missing")
        assert await store.getsize_prefix("") == 6


@pytest.mark.parametrize("document", [b'{"size": "0"}', b'{"size": 0, "crc32c": "yZRlqg=="}'])
async def test_a_size_of_zero_is_asked_again(document: bytes) -> None:
    def answer(asked: Asked) -> Reply:
        return service(asked) if "alt=media" in asked.query else Reply(200, document)

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        assert await store.getsize("a") == 3
        assert await store.getsize("empty") == 0


async def test_a_size_is_not_that_of_too_long_a_part() -> None:
    def answer(asked: Asked) -> Reply:
        if "alt=media" not in asked.query:
            return Reply(200, b"{}")
        length = str(33 * 2**20)
        return Reply(206, b"", {"Content-Length": length, "Content-Range": "bytes 0-0/5"})

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        with pytest.raises(BackendError, match="bytes came for one"):
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
async def test_the_last_bytes_of_a_value_are_not_none(reply: Reply) -> None:
    async with scripted_s3(lambda asked: reply) as server, open_at(server.url) as store:
        with pytest.raises(BackendError, match=r"no last ones|checksum"):
            await store.get("a", byte_range=SuffixByteRequest(2))


async def test_a_suffix_that_is_refused_is_of_an_empty_value_or_an_error() -> None:
    def answer(asked: Asked) -> Reply:
        is_suffix = asked.headers.get("range", "").startswith("bytes=-")
        return Reply(416) if is_suffix else service(asked)

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        assert await read(store, "empty", SuffixByteRequest(2)) == b""
        with pytest.raises(BackendError, match="refuses the last bytes"):
            await store.get("a", byte_range=SuffixByteRequest(2))


@pytest.mark.parametrize("generation", ["", "0", "-1", "abc", "1, 2", "1" * 30])
async def test_what_is_no_generation_is_no_version(generation: str) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(200, b"abc", {"X-Goog-Generation": generation})

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        for use in (store.get_version("a"), store.set_partial_values([("a", 0, b"x")])):
            with pytest.raises(BackendError, match="not its generation"):
                await use


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_a_page_of_another_server_is_no_answer(status: int) -> None:
    is_google = True

    def answer(asked: Asked) -> Reply:
        return service(asked) if is_google else Reply(status, PAGE, HTML)

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        assert await read(store, "a") == b"abc"
        is_google = False
        uses: dict[str, Callable[[], Any]] = {
            "get": lambda: store.get("a"),
            "range": lambda: store.get("a", byte_range=RangeByteRequest(0, 2)),
            "exists": lambda: store.exists("a"),
            "delete": lambda: store.delete("a"),
            "list": lambda: listed(store.list()),
        }
        for name, use in uses.items():
            with pytest.raises(BackendError) as caught:
                await use()
            assert not isinstance(caught.value, FileNotFoundError), name
            if (status, name) != (200, "delete"):
                assert f"status {status}" in str(caught.value), name


@pytest.mark.parametrize(
    "page",
    [Reply(200, PAGE, {**HTML, "ETag": '"e"'}), Reply(200, b"<!-- --><h1>Sorry</h1>", HTML)],
    ids=["tag", "comment"],
)
async def test_a_page_is_no_value_whatever_it_begins_with(page: Reply) -> None:
    async with scripted_s3(lambda asked: page) as server, open_at(server.url) as store:
        for request in (None, RangeByteRequest(0, 2)):
            with pytest.raises(BackendError, match="status 200"):
                await store.get("a", byte_range=request)


async def test_a_token_that_is_listed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    token = "ya29.a-token-of-somebody"

    def answer(asked: Asked) -> Reply:
        names = ["x/a", asked.headers["authorization"]]
        return Reply(200, json.dumps({"items": [{"name": name} for name in names]}).encode())

    async with scripted_s3(answer) as server, open_at(server.url, Credentials(token)) as store:
        assert await listed(store.list()) == ["a"]
    assert "ignores the prefix" in caplog.text
    assert token not in caplog.text


async def test_a_text_of_another_server_is_no_missing_key() -> None:
    def answer(asked: Asked) -> Reply:
        return service(asked) if asked.path.endswith("a") else Reply(404, b"404 page not found")

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        assert await read(store, "a") == b"abc"
        with pytest.raises(BackendError, match="does not speak Google's JSON API"):
            await store.get("b")


@pytest.mark.parametrize("refusal", [Reply(400, b"{}"), Reply(411, PAGE, HTML), Reply(405), Reply(410), Reply(422)])
async def test_a_batch_that_is_refused_as_a_whole(refusal: Reply) -> None:
    def answer(asked: Asked) -> Reply:
        return refusal if asked.method == "POST" else service(asked)

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        for _ in range(2):
            await store.delete_dir("")
        assert [asked.method for asked in server.seen].count("POST") == 1
        assert [asked.method for asked in server.seen].count("DELETE") == 4


# -- Credentials -----------------------------------------------------------------------------------


def for_holders(asked: Asked) -> Reply:
    who = asked.headers.get("authorization", "")
    return service(asked) if who == "Bearer good" else refused(401, "Invalid Credentials")


def tokens(asked: Asked) -> Reply:
    """The endpoint that gives tokens for accounts' keys, of which the new ones are known."""
    if "new" not in asked.query:
        return Reply(400, b'{"error": "invalid_grant"}', {"Content-Type": "application/json"})
    token = b'{"access_token": "good", "expires_in": 3600}'
    return Reply(200, token, {"Content-Type": "application/json"})


def answer_holders(asked: Asked) -> Reply:
    return tokens(asked) if asked.path.startswith("/token") else for_holders(asked)


async def test_default_credentials_that_are_not_there_when_the_store_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "on_google" not in inspect.signature(GoogleCredentials).parameters:
        # A look-up takes long there, and the next one waits the longer for it.
        pytest.skip("cannot: this release of gcsfs asks for Google's metadata service anywhere")
    file = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    accounts = GoogleAccounts()
    async with (
        scripted_s3(answer_holders) as server,
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


async def test_a_key_file_that_is_corrected_later(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"
    async with scripted_s3(answer_holders) as server:
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


async def test_a_token_that_does_not_come_keeps_to_the_timeout(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"

    async with scripted_server(Peer.closed) as server:
        url = f"http://{server.host}:{server.port}"
        accounts.token_url = f"{url}/token"
        accounts.write_key(file, "me", may_write=True)
        options = {"endpoint_url": url, "token": str(file), "skip_instance_cache": True}
        async with FsspecStore.from_url("gs://bucket", options, retries=0, timeout=0.5) as store:
            # Google's library waits for two minutes.
            with pytest.raises(BackendError, match="timed out"):
                await asyncio.wait_for(store.get("a"), 30)


async def test_an_assertion_that_is_repeated_is_not_told(tmp_path: Path) -> None:
    accounts = GoogleAccounts()
    file = tmp_path / "key.json"
    sent: list[str] = []

    def answer(asked: Asked) -> Reply:
        sent.append(asked.body.decode().partition("assertion=")[2].partition("&")[0])
        said = json.dumps({"error": "invalid_grant", "error_description": asked.body.decode()})
        return Reply(400, said.encode(), {"Content-Type": "application/json"})

    async with scripted_s3(answer) as server:
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
async def test_a_token_that_no_header_can_have(token: str) -> None:
    async with scripted_s3(service) as server, open_at(server.url, Credentials(token)) as store:
        with pytest.raises(AccessDeniedError, match="line break or another character") as caught:
            await store.get("a")
    assert repr(token) not in repr(caught.value)
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__context__ is None
