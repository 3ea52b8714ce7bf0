"""Errors contain no credentials, although the service repeats the whole request."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import fsspec
import pytest
from conformance.support import buf, listed
from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem
from gcsfs import GCSFileSystem
from google.oauth2.credentials import Credentials
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore, StoreError
from fsspec_store._core.redaction import hidden, public_text
from fsspec_store._http.messages import Response
from fsspec_store._http.responses import redacted_response

#: With characters that URLs, XML, HTML and JSON write in ways of their own.
TOKEN = 'session/t0ken+of"much&worth<more>=='
SECRET = "s3cret/key+of=the=account"
PASSWORD = "pass/w0rd+of&him"
KEY = base64.b64encode(b"the key of the account, 32 bytes").decode()
SIGNATURE = base64.b64encode(b"the signature of the user, 32 by").decode()
#: What the service encrypts with, which is sent in base64.
CUSTOMER = {"SSECustomerKey": "the key of a customer, 32 bytes.", "SSECustomerAlgorithm": "AES256"}
#: What only some requests hold, as it was sent.
SENT = re.compile(
    r"Signature=(\w+)|SharedKey \w+:(\S+)|(?i:authorization): (\S.*)|(?i:authorization): \w+ (\S+)"
)


def s3(
    url: str, encryption: Mapping[str, str | bytes] | None = None, **options: Any
) -> FsspecStore:
    return FsspecStore.from_url(
        "s3://bucket/root",
        {
            "key": "AKIDEXAMPLE",
            "secret": SECRET,
            "token": TOKEN.replace('"', "").replace("<", "").replace(">", ""),
            "endpoint_url": url,
            "client_kwargs": {"region_name": "us-east-1"},
            "s3_additional_kwargs": dict(encryption or {}),
        },
        retries=0,
        **options,
    )


def google(url: str) -> FsspecStore:
    token = TOKEN.replace('"', "")
    credentials = Credentials(token, refresh_token=SECRET, client_secret=PASSWORD)
    fs = GCSFileSystem(
        token=credentials, project="test", endpoint_url=url, skip_instance_cache=True
    )
    return FsspecStore(fs, "bucket/root", retries=0)


def azure(url: str, **credentials: str) -> FsspecStore:
    given = ";".join(
        [
            f"BlobEndpoint={url}/account",
            "AccountName=account",
            *(f"{name}={value}" for name, value in credentials.items()),
        ]
    )
    options = {"account_name": "account", "connection_string": given}
    return FsspecStore.from_url("az://container/root", options, retries=0)


def web(url: str) -> FsspecStore:
    there = url.replace("://", f"://user:{quote(PASSWORD, safe='')}@")
    return FsspecStore.from_url(
        f"{there}/data?sig={quote(SIGNATURE, safe='')}",
        {"headers": {"X-API-Key": SECRET}},
        retries=0,
    )


def chained(url: str) -> FsspecStore:
    return FsspecStore.from_url(
        f"simplecache::{url}/data",
        {"http": {"headers": {"X-API-Key": SECRET}}},
        retries=0,
    )


PLACES: dict[str, Callable[[str], FsspecStore]] = {
    "S3": s3,
    "S3, by s3fs": lambda url: s3(url, transport="library"),
    "S3, by a customer's key": lambda url: s3(url, CUSTOMER),
    "Google": google,
    "Azure, by key": lambda url: azure(url, AccountKey=KEY),
    "Azure, by signature": lambda url: azure(
        url, SharedAccessSignature=f"sv=2024-01-01&sig={quote(SIGNATURE, safe='')}"
    ),
    "web": web,
    "another filesystem": chained,
}
CALLS: dict[str, Callable[[FsspecStore], Any]] = {
    "get": lambda store: store.get("a"),
    "exists": lambda store: store.exists("a"),
    "list": lambda store: listed(store.list()),
    "set": lambda store: store.set("a", buf(b"x")),
    "create": lambda store: store.set_if_not_exists("a", buf(b"x")),
    "delete": lambda store: store.delete("a"),
    "delete_dir": lambda store: store.delete_dir("a"),
}


class Echo:
    """Answers with an error that holds the request, in the form of each service."""

    def __init__(self) -> None:
        self.status = 403
        self.heads: list[str] = []
        #: Whether the body breaks off.
        self.is_cut = False
        #: Set once a request came that is not answered; ``None`` to answer all.
        self.unanswered: asyncio.Event | None = None

    async def __call__(self, peer: Peer) -> None:
        while True:
            try:
                head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip()
                if "expect: 100" in head.lower():
                    await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                length = re.search(r"(?i)content-length: (\d+)", head)
                await peer.reader.readexactly(int(length[1]) if length else 0)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.heads.append(head)
            if self.unanswered is not None:
                self.unanswered.set()
                await peer.closed()
                return
            said = head.replace("\r\n", "  ")
            if "x-ms-version" in head.lower() or "AWS4-HMAC" in head:
                # Some write it in one way and some in others.
                said = escape(said) + "  " + re.sub(r"[+/=]", lambda m: f"&#{ord(m[0])};", said)
                text = f"<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>"
            elif "gcloud" in head or "/storage/v1/" in head:
                text = json.dumps({"error": {"code": self.status, "message": said}})
            else:
                text = said + quote(said)
            body = text.encode()
            line = f"HTTP/1.1 {self.status} No\r\nX-Echo: {said.encode()[:2000].decode()}\r\n"
            if self.is_cut:
                await peer.send(f"{line}Content-Length: 99999\r\n\r\n".encode() + body)
                return
            content = b"" if head.startswith("HEAD") else body
            await peer.send(f"{line}Content-Length: {len(body)}\r\n\r\n".encode() + content)

    def secrets(self) -> set[str]:
        found = {TOKEN, SECRET, PASSWORD, KEY, SIGNATURE, TOKEN.replace('"', "")}
        found.add(re.sub('["<>]', "", TOKEN))
        for match in SENT.finditer("\n".join(self.heads).replace("\r", "")):
            found |= {text.strip() for text in match.groups() if text}
        customer = CUSTOMER["SSECustomerKey"]
        found |= {customer, base64.b64encode(customer.encode()).decode()}
        found |= {base64.b64encode(f"user:{PASSWORD}".encode()).decode()}
        return found | {quote(text, safe="") for text in found} | {escape(text) for text in found}


def told(error: BaseException) -> Iterator[tuple[str, str]]:
    """All that a crash reporter shows of an error, and where it is."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        name = type(link).__name__
        yield f"str of {name}", str(link)
        yield f"args of {name}", repr(link.args)
        yield f"attributes of {name}", repr(vars(link))
        for attribute, value in vars(link).items():
            yield f"{attribute} of {name}", repr(getattr(value, "__dict__", value))
        traceback = link.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            if "tests" not in code.co_filename:
                for variable, value in traceback.tb_frame.f_locals.items():
                    yield f"{variable} in {code.co_qualname} of {name}", repr(value)
            traceback = traceback.tb_next
        waiting += [link.__cause__, link.__context__]
        waiting += getattr(link, "exceptions", ())


def test_a_secret_is_found_however_it_is_spelled() -> None:
    secret = 'a+b/c="<d>'
    for spelled in (
        secret,
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        escape(secret, {'"': "&quot;", "+": "&#43;"}),
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        "a\\u002Bb&#x2F;c&#61;&#34;&lt;d&gt;",
    ):
        assert hidden(f"<{spelled}>", [secret]) == "<***>"
    assert hidden("a b", ["", "a"]) == "a b"
    for text in ("Authorization: Bearer ", "Basic ", "SharedKey ", "Signature="):
        assert public_text(f"{text}0123456789abcdef, x") == f"{text}***, x"
    assert public_text("Basic authentication failed") == "Basic authentication failed"


class Telling(MemoryFileSystem):
    """A filesystem that connects when it is made, and tells by what when that fails."""

    protocol = "telling"

    def __init__(self, **options: Any) -> None:
        raise ConnectionError(f"no connection with {options}")


@pytest.mark.parametrize("by", ["storage options", "fsspec's configuration"])
def test_a_filesystem_that_cannot_be_made_shows_no_secret(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_implementation("telling", Telling)
    options: dict[str, str] | None = {"password": PASSWORD}
    if by != "storage options":
        monkeypatch.setitem(fsspec.config.conf, "telling", options)
        options = None
    with pytest.raises(StoreError) as caught:
        FsspecStore.from_url("telling://x", options)
    assert "no connection with {'password': '***'}" in str(caught.value)
    assert caught.value.__context__ is not None
    shown = [text for where, text in told(caught.value) if "from_url" not in where]
    assert not [text for text in shown if PASSWORD in text]


@pytest.mark.parametrize("layer", ["simplecache", "filecache", "blockcache"])
@pytest.mark.parametrize("url", ["http://user:wording@HOST/x", "http://HOST/x?sig=wording"])
async def test_a_layer_on_a_web_server_shows_no_url_with_a_secret(
    layer: str, url: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        # It does not listen: nothing is answered there.
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        store = FsspecStore.from_url(
            f"{layer}::{url.replace('HOST', host)}", {layer: {"cache_storage": str(tmp_path)}}
        )
        for call in (lambda: store.get("k"), lambda: listed(store.list())):
            with pytest.raises(StoreError) as caught:
                await call()
            assert not [where for where, text in told(caught.value) if "wording" in text]


async def test_what_the_caller_was_handling_is_left_as_it_is() -> None:
    def fail(value: str) -> None:
        raise ValueError(value)

    text = f"https://user:{SECRET}@host/x"
    async with scripted_server(Echo()) as server, s3(f"http://127.0.0.1:{server.port}") as store:
        try:
            fail(text)
        except ValueError as error:
            with pytest.raises(StoreError):
                await store.get("a")
            with pytest.raises(StoreError):
                await store.delete_dir("a")
            listing = store.list_prefix("a")
            with pytest.raises(StoreError):
                await anext(listing)
            await listing.aclose()
            frame = error.__traceback__
            assert error.args == (text,)
    assert frame is not None
    assert frame.tb_next is not None
    assert frame.tb_next.tb_frame.f_locals == {"value": text}


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("place", PLACES)
async def test_secrets_that_a_service_repeats_are_not_shown(
    place: str, is_cut: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fsspec_store")
    echo = Echo()
    echo.is_cut = is_cut
    errors: list[BaseException] = []
    async with scripted_server(echo) as server:
        store = PLACES[place](f"http://127.0.0.1:{server.port}")
        async with store:
            for status in (403, 400, 500):
                echo.status = status
                for name, call in CALLS.items():
                    if place in ("web", "another filesystem") and name not in ("get", "list"):
                        continue
                    try:
                        await call(store)
                    except StoreError as error:
                        errors.append(error)
            assert len(errors) > 2
            if place != "another filesystem":
                # What is cancelled was sent with it as well. What runs in a thread is not.
                echo.unanswered = asyncio.Event()
                reading = asyncio.create_task(store.get("a"))
                await echo.unanswered.wait()
                reading.cancel()
                try:
                    await reading
                except asyncio.CancelledError as error:
                    errors.append(error)
    secrets = echo.secrets()
    texts = [entry for error in errors for entry in told(error)]
    texts += [("log", record.getMessage()) for record in caplog.records]
    found = [
        (where, secret, text[:300])
        for where, text in texts
        for secret in secrets
        if len(secret) > 4 and (secret in text or repr(secret)[1:-1] in text)
    ]
    assert found == []
    # The service did repeat them.
    assert any("***" in text for _, text in texts) or is_cut


@pytest.mark.parametrize("size", [4096, 5000, 2**20])
def test_an_error_ends_with_no_part_of_a_secret(size: int) -> None:
    token = "start+of/a=token~" * 12
    spelled = re.sub(r"\W", lambda match: f"&#x{ord(match[0]):x};", token)
    sent = {"Authorization": f"Bearer {token}"}
    for text in (token, spelled):
        for place in range(0, 4200, 7):
            body = f"{'x' * place}{text}".encode().ljust(size)[:size]
            whole = Response(403, {}, body)
            if place + len(text) > size:
                # Of a response whose body is no longer, no more is known.
                continue
            said = redacted_response(whole, "http://host/", sent).body
            assert len(said) <= 4096
            assert text[:12].encode() not in said


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("", "https://"),
        ("?", "key"),
        ("&", "a-"),
        ("", "://"),
        ("", "Basic "),
        ("", "-eyJaaaaaaaa"),
    ],
)
def test_a_long_text_is_cleaned_in_linear_time(start: str, text: str) -> None:
    # In quadratic time this takes an hour, and the event loop waits.
    repeated = start + text * (2**20 // len(text))
    assert public_text(f"{repeated} https://h/x?key={SECRET}").endswith("https://h/x?***")
