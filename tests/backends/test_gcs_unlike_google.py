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
from servers.google_accounts import GoogleAccounts
from servers.scripted_s3 import Asked, Reply, scripted_s3

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError

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


async def test_a_text_of_another_server_is_no_missing_key() -> None:
    def answer(asked: Asked) -> Reply:
        return service(asked) if asked.path.endswith("a") else Reply(404, b"404 page not found")

    async with scripted_s3(answer) as server, open_at(server.url) as store:
        assert await read(store, "a") == b"abc"
        with pytest.raises(BackendError, match="does not speak Google's JSON API"):
            await store.get("b")


@pytest.mark.parametrize("refusal", [Reply(400, b"{}"), Reply(411, PAGE, HTML), Reply(405)])
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
