"""The contract on WebDAV servers, and WebDAV's special cases."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from base64 import b64encode
from collections.abc import Iterator
from traceback import format_exception
from typing import Any, ClassVar
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from aiohttp import ClientPayloadError
from conformance import Limits, StoreConformance
from conformance.support import MakeStore, collect, content, put, read
from servers.fault_proxy import Answer, fault_proxy
from servers.webdav import WebDAVEndpoint

from fsspec_store import FsspecStore
from fsspec_store._backends.webdav.client import entries_of
from fsspec_store.errors import BackendError, StorageOptionError

_roots = itertools.count()
_FILES = {
    "key_beside_children": "a name is a file or a collection, not both",
    "long_names": "a file's name has at most 255 bytes",
    "prefix_gone_at_once": "an empty collection stays",
    "compare_and_swap": "servers ignore If-Match, or check it before they write",
}
_REMOVES_FIRST = "a MOVE removes its destination first"


class WebDAVConformance(StoreConformance):
    server: ClassVar[str]

    @pytest.fixture
    def endpoint(self, request: pytest.FixtureRequest) -> WebDAVEndpoint:
        endpoint: WebDAVEndpoint = request.getfixturevalue(self.server)
        return endpoint

    @pytest.fixture
    def make_store(self, endpoint: WebDAVEndpoint) -> Iterator[Any]:
        root = f"conformance/{next(_roots)}"
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            url = f"webdav://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, endpoint.storage_options(), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()

    async def test_a_large_value_in_a_new_folder(self, make_store: MakeStore) -> None:
        store, data = make_store(), content(8 * 2**20)
        await put(store, "a/b/c", data=data)
        assert await read(store, "a/b/c") == data


class TestApache(WebDAVConformance):
    service = "Apache"
    server = "apache_endpoint"
    limits = Limits(**_FILES, examples=10, many=60)


class TestRclone(WebDAVConformance):
    service = "rclone"
    server = "rclone_webdav_endpoint"
    limits = Limits(**_FILES, atomic_replace=_REMOVES_FIRST, examples=10, many=60)


class TestWsgidav(WebDAVConformance):
    service = "wsgidav"
    server = "wsgidav_endpoint"
    limits = Limits(
        **_FILES,
        atomic_replace=_REMOVES_FIRST,
        query_characters="the server cuts the destination of a MOVE off at ? and ;",
        examples=10,
        many=60,
    )


BASE = "https://cloud.example.org/dav"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"auth": lambda request: request}, r"auth must be \(user, password\), got function"),
        ({"event_hooks": {}}, "takes no option 'event_hooks'"),
        ({"token": "x" * 20}, "did you mean headers="),
        ({"base_url": "cloud.example.org"}, "base_url must be an http or https URL"),
        ({"base_url": f"{BASE}?token=1"}, "and no query"),
        ({"verify": "/no/ca.pem"}, "verify: no such file or directory: '/no/ca.pem'"),
        ({"cert": ("/no/c.pem", "/k")}, "cert: no such file or directory: '/no/c.pem'"),
        ({"headers": {"a": "b\r\nc: d"}}, "headers must be a mapping .* without line breaks"),
    ],
    ids=["auth", "event_hooks", "token", "base_url", "query", "verify", "cert", "headers"],
)
def test_options_that_cannot_be_carried_over(options: Any, expected: str) -> None:
    with pytest.raises(StorageOptionError, match=expected):
        FsspecStore.from_url("webdav://data", {"base_url": BASE} | options)


def entry(href: str, *, status: str = "HTTP/1.1 200 OK", prop: str = "") -> str:
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{prop}</d:prop>"
        f"<d:status>{status}</d:status></d:propstat></d:response>"
    )


def multistatus(*entries: str) -> bytes:
    return f'<d:multistatus xmlns:d="DAV:">{"".join(entries)}</d:multistatus>'.encode()


GONE = (
    "<d:response><d:href>/dav/gone</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
)


def test_the_forms_of_a_response_to_propfind() -> None:
    size = "<d:getcontentlength>3</d:getcontentlength>"
    document = multistatus(
        entry("/dav/", prop="<d:resourcetype><d:collection/></d:resourcetype>"),
        entry("https://host/dav//a%20b%25", prop=size),
        entry("//dav/no-size", prop="<d:resourcetype/>"),
        entry("/dav/b/", prop="<d:resourcetype><d:collection/></d:resourcetype>"),
        GONE,
        # Neither the collection nor a member of it.
        *map(entry, ("/dav/b/c", "/other", "/dav/..", "/dav/../x", "/", "/dav2/x")),
    )
    assert entries_of(document, "/dav/") == {"/": None, "a b%": 3, "no-size": None, "b/": None}
    assert entries_of(multistatus(GONE), "/dav/gone") == {}


@pytest.mark.parametrize(
    ("document", "error", "expected"),
    [
        (b"<a/>junk", ClientPayloadError, "is not XML"),
        (multistatus(entry("/dav", status="HTTP/1.1 403 Forbidden")), OSError, "list '/dav/'"),
        (multistatus(), OSError, "it lacks '/dav/'"),
        (
            multistatus(entry("/"), entry("/dav/a"), entry("/other")),
            OSError,
            "it lacks '/dav/'",
        ),
    ],
)
def test_a_response_that_is_no_listing(
    document: bytes, error: type[Exception], expected: str
) -> None:
    with pytest.raises(error, match=expected):
        entries_of(document, "/dav")


PASSWORD = "pass/w0rd+of&him"


@pytest.mark.parametrize("form", ["auth", "userinfo", "proxy"])
async def test_an_error_contains_no_password(
    rclone_webdav_endpoint: WebDAVEndpoint, form: str
) -> None:
    quoted = quote(PASSWORD, safe="")
    pair = b64encode(f"anna:{PASSWORD}".encode()).decode()
    with fault_proxy(rclone_webdav_endpoint.url) as proxy:
        given = proxy.url.replace("://", f"://anna:{quoted}@")
        options = {
            "auth": {"base_url": proxy.url, "auth": ("anna", PASSWORD)},
            "userinfo": {"base_url": given},
            "proxy": {"base_url": "http://dav.example.org", "proxy": given},
        }[form]
        text = f"HTTP/1.1 500 {escape(PASSWORD)} {quoted} {pair}"
        proxy.plan = lambda method, target, headers: Answer(
            207,
            {},
            multistatus(f"<d:response><d:href>/a</d:href><d:status>{text}</d:status></d:response>"),
        )
        async with FsspecStore.from_url("webdav://a", options) as store:
            with pytest.raises(BackendError, match=r"does not list.*500 \*\*\*") as caught:
                await collect(store.list())
    shown = "".join(format_exception(caught.value))
    assert not any(secret in shown for secret in (PASSWORD, quoted, pair))


@pytest.mark.parametrize("how", ["close", "aclose"])
async def test_a_request_of_a_store_that_is_closed_is_an_error(
    rclone_webdav_endpoint: WebDAVEndpoint, how: str
) -> None:
    for rounds in range(20):
        store = FsspecStore.from_url("webdav://closed", rclone_webdav_endpoint.storage_options())
        writing = asyncio.create_task(put(store, "a"))
        for _ in range(rounds):
            await asyncio.sleep(0)
        await store.aclose() if how == "aclose" else store.close()
        error = (await asyncio.gather(writing, return_exceptions=True))[0]
        assert error is None or isinstance(error, RuntimeError), error
        await store.aclose()


@pytest.mark.parametrize(("status", "expected"), [(409, "base_url"), (423, "try again later")])
async def test_an_error_names_the_server_and_what_to_do(
    rclone_webdav_endpoint: WebDAVEndpoint, status: int, expected: str
) -> None:
    with fault_proxy(rclone_webdav_endpoint.url) as proxy:
        proxy.plan = lambda method, target, headers: (
            Answer(status) if method == "PROPFIND" else None
        )
        options = dataclasses.replace(rclone_webdav_endpoint, url=proxy.url).storage_options()
        async with FsspecStore.from_url("webdav://a", options, retries=0) as store:
            with pytest.raises(BackendError, match=f"{proxy.url}: status {status}.*{expected}"):
                await store.delete("a")


async def test_a_failed_write_leaves_no_temporary_file(
    rclone_webdav_endpoint: WebDAVEndpoint,
) -> None:
    with fault_proxy(rclone_webdav_endpoint.url) as proxy:
        options = dataclasses.replace(rclone_webdav_endpoint, url=proxy.url).storage_options()
        async with FsspecStore.from_url("webdav://failing", options, retries=0) as store:
            await put(store, "a", data=b"old")
            proxy.plan = lambda method, target, headers: Answer(500) if method == "MOVE" else None
            with pytest.raises(BackendError, match="500"):
                await put(store, "a", data=b"new")
            assert await read(store, "a") == b"old"
    names = [path.name for path in (rclone_webdav_endpoint.folder / "failing").iterdir()]
    assert names == ["a"]
