"""Redirects of web servers: headers and credentials are sent only to their origin."""

from __future__ import annotations

import asyncio
import base64
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conformance.support import read
from servers.certificates import Certificate, make_certificate
from servers.scripted import Peer, scripted_server

from fsspec_store import FsspecStore
from fsspec_store.errors import AccessDeniedError, BackendError, StorageOptionError

SECRET = "s3cr3t"


@dataclass
class Site:
    """A web server that redirects, and records requests."""

    url: str
    #: By path: a target, to which ``?`` adds the path; other paths have the value ``ok``.
    redirects: dict[str, str] = field(default_factory=dict)
    #: By path.
    cookies: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    status: int = 200

    async def script(self, peer: Peer) -> None:
        while True:
            try:
                request = (await peer.request()).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            self.seen.append(request)
            path = request.split(" ")[1].partition("?")[0]
            cookie = self.cookies.get(path)
            headers = f"Set-Cookie: {cookie}\r\n" if cookie else ""
            status, body = self.status, b"ok"
            if path in self.redirects:
                status, body = 302 if status == 200 else status, b""
                headers += f"Location: {self.redirects[path]}\r\n"
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
            await peer.send(head.encode() + body)

    def saw(self, path: str) -> str:
        """The only request for a path."""
        (request,) = [one for one in self.seen if one.split(" ")[1].partition("?")[0] == path]
        return request


@asynccontextmanager
async def site(name: str = "localhost", tls: Certificate | None = None) -> AsyncIterator[Site]:
    """A site with this host name in its URL."""
    made = Site("")
    context = None if tls is None else tls.server_context()
    async with scripted_server(made.script, tls=context) as server:
        made.url = f"http{'s' if tls else ''}://{name}:{server.port}"
        yield made


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def old_auth() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return aiohttp.BasicAuth("user", SECRET)


def shared_jar() -> Any:
    jar = aiohttp.CookieJar()
    jar.update_cookies({"session": SECRET})
    return jar


async def session_with_secrets(**kwargs: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"X-API-Key": SECRET}, cookies={"session": SECRET}, auth=old_auth(), **kwargs
    )


#: Whatever an option is, its secret in clear text or as `aiohttp` encodes it.
FORMS = (SECRET, basic("user", SECRET))
OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "Authorization": lambda: {"headers": {"Authorization": f"Bearer {SECRET}"}},
    "a key": lambda: {"headers": {"X-API-Key": SECRET}},
    "Cookie": lambda: {"headers": {"Cookie": f"session={SECRET}"}},
    "Referer": lambda: {"headers": {"Referer": f"https://host/?token={SECRET}"}},
    "cookies": lambda: {"cookies": {"session": SECRET}},
    "params": lambda: {"params": {"token": SECRET}},
    "auth": lambda: {"auth": old_auth()},
    "headers of the session": lambda: {"client_kwargs": {"headers": {"X-API-Key": SECRET}}},
    "cookies of the session": lambda: {"client_kwargs": {"cookies": {"session": SECRET}}},
    "auth of the session": lambda: {"client_kwargs": {"auth": old_auth()}},
    "a cookie jar": lambda: {"client_kwargs": {"cookie_jar": shared_jar()}},
    "a session": lambda: {"get_client": session_with_secrets},
}


@pytest.mark.filterwarnings("ignore:The 'auth' parameter:DeprecationWarning")
@pytest.mark.parametrize("name", OPTIONS)
async def test_headers_and_credentials_do_not_leave_their_origin(name: str) -> None:
    async with site("127.0.0.1") as home, site() as other:
        # Another host, then another port of the same one, and back.
        home.redirects = {"/d/k": f"{other.url}/away", "/d/back": "/d/end"}
        other.redirects = {"/away": f"{home.url}/d/back"}
        async with FsspecStore.from_url(f"{home.url}/d", OPTIONS[name]()) as store:
            assert await read(store, "k") == b"ok"
        assert any(form in home.saw("/d/k") for form in FORMS)
        assert not any(form in one for one in other.seen for form in FORMS)
        if name != "params":
            # Query parameters are added to the store's URL, not to the target of a redirect.
            assert any(form in home.saw("/d/end") for form in FORMS)


async def test_user_and_query_of_the_url_do_not_leave_its_origin() -> None:
    async with site("127.0.0.1") as home, site("127.0.0.1") as other:
        home.redirects = {"/d/k": f"{other.url}/away", "/d/end": "/d/value"}
        other.redirects = {"/away": f"{home.url}/d/end"}
        root = home.url.replace("://", f"://user:{SECRET}@") + f"/d?token={SECRET}"
        async with FsspecStore.from_url(root) as store:
            assert await read(store, "k") == b"ok"
        assert f"?token={SECRET}" in home.saw("/d/k")
        assert basic("user", SECRET) in home.saw("/d/k")
        assert basic("user", SECRET) in home.saw("/d/value")
        assert "authorization" not in other.saw("/away").lower()
        assert SECRET not in other.saw("/away")


async def test_https_to_http_of_one_host_is_another_origin(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with site(tls=certificate) as home, site() as other:
        home.redirects = {"/d/k": f"{other.url}/away"}
        options = {
            "headers": {"X-API-Key": SECRET},
            "cookies": {"session": SECRET},
            "ssl": certificate.client_context(),
        }
        async with FsspecStore.from_url(f"{home.url}/d", options) as store:
            assert await read(store, "k") == b"ok"
        assert SECRET in home.saw("/d/k")
        assert SECRET not in other.saw("/away")


@pytest.mark.parametrize("form", ["{host}", "{url}"])
async def test_trusted_hosts_receive_headers_and_credentials(form: str) -> None:
    async with site("127.0.0.1") as home, site() as login, site() as other:
        home.redirects = {"/d/k": f"{login.url}/login"}
        login.redirects = {"/login": f"{other.url}/away"}
        named = form.format(host=login.url.removeprefix("http://"), url=login.url)
        options = {
            "headers": {"X-API-Key": SECRET},
            "client_kwargs": {"cookies": {"session": SECRET}},
            "trusted_redirect_hosts": [named],
        }
        async with FsspecStore.from_url(f"{home.url}/d", options) as store:
            assert await read(store, "k") == b"ok"
        assert login.saw("/login").count(SECRET) == 2
        assert SECRET not in other.saw("/away")


@pytest.mark.parametrize(
    "hosts", ["host", ["https://host/path"], ["ftp://host"], ["host:99999"], [b"host"], ["u@host"]]
)
def test_invalid_trusted_hosts_are_refused(hosts: Any) -> None:
    with pytest.raises(StorageOptionError, match="trusted_redirect_hosts"):
        FsspecStore.from_url("https://home/d", {"trusted_redirect_hosts": hosts})


async def test_a_login_on_another_host_by_netrc_and_its_cookies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As NASA's Earthdata: a redirect to the login, and back with a code for a cookie.
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine localhost login user password {SECRET}\ndefault login d password d")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "*")
    jar = aiohttp.CookieJar(unsafe=True)
    options = {"client_kwargs": {"trust_env": True, "cookie_jar": jar}}
    async with site("127.0.0.1") as home, site() as login, site("127.0.0.1") as other:
        home.redirects = {"/d/k": f"{login.url}/oauth", "/code": "/d/value"}
        home.cookies = {"/code": "token=given; Path=/"}
        login.redirects = {"/oauth": f"{login.url}/form", "/form": f"{other.url}/away"}
        login.cookies = {"/oauth": "step=1; Path=/"}
        other.redirects = {"/away": f"{home.url}/code"}
        async with FsspecStore.from_url(f"{home.url}/d", options) as store:
            assert await read(store, "k") == b"ok"
        assert basic("user", SECRET) in login.saw("/oauth")
        assert "step=1" in login.saw("/form")
        # The ``default`` entry is not used for the target of a redirect.
        assert "authorization" not in other.saw("/away").lower()
        assert "token=given" in home.saw("/d/value")


async def test_access_denied_after_a_redirect_names_the_option() -> None:
    async with site("127.0.0.1") as home, site() as other:
        home.redirects = {"/d/k": f"{other.url}/away"}
        other.status = 403
        async with FsspecStore.from_url(f"{home.url}/d", {"headers": {"X-Key": SECRET}}) as store:
            with pytest.raises(AccessDeniedError, match="trusted_redirect_hosts") as caught:
                await store.get("k")
        assert other.url in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("target", ["/d/k", "ftp://host/x", "http://", "http://[::1/x"])
async def test_redirects_to_invalid_urls_are_errors(target: str) -> None:
    async with site() as home:
        home.redirects = {"/d/k": target}
        async with FsspecStore.from_url(f"{home.url}/d", retries=0) as store:
            home.seen.clear()
            with pytest.raises(BackendError, match="edirect"):
                await store.get("k")
        assert len(home.seen) <= 10


# -- Below another filesystem, by fsspec's own requests --------------------------------------------


@pytest.mark.filterwarnings("ignore:The 'auth' parameter:DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "a key", "Cookie", "cookies", "headers of the session"),
        *("cookies of the session", "auth of the session", "a session"),
    ],
)
async def test_headers_and_credentials_below_a_chain_do_not_leave_their_origin(
    name: str, tmp_path: Path
) -> None:
    async with site("127.0.0.1") as home, site() as other:
        home.redirects = {"/d/k": f"{other.url}/away"}
        cache = {"cache_storage": str(tmp_path / "copies"), "skip_instance_cache": True}
        options = {"http": OPTIONS[name]() | {"skip_instance_cache": True}, "simplecache": cache}
        async with FsspecStore.from_url(f"simplecache::{home.url}/d", options) as store:
            assert await read(store, "k") == b"ok"
        assert any(form in one for one in home.seen for form in FORMS)
        assert other.seen
        assert not any(form in one for one in other.seen for form in FORMS)


async def test_trusted_hosts_below_a_chain_receive_headers_and_credentials(tmp_path: Path) -> None:
    async with site("127.0.0.1") as home, site() as login:
        home.redirects = {"/d/k": f"{login.url}/login", "/d/l": f"{login.url}/other"}
        options = {
            "headers": {"X-API-Key": SECRET},
            "trusted_redirect_hosts": [login.url.removeprefix("http://")],
        }
        # All of one instance, which fsspec caches.
        chain = {"http": options, "simplecache": {"cache_storage": str(tmp_path / "copies")}}
        async with FsspecStore.from_url(f"simplecache::{home.url}/d", chain) as store:
            assert await read(store, "k") == b"ok"
        async with FsspecStore.from_url(f"{home.url}/d", options) as store:
            assert await read(store, "l") == b"ok"
        assert all(SECRET in one for one in login.seen)
        assert len(login.seen) >= 2


# -- Services --------------------------------------------------------------------------------------


def of_s3(url: str, **more: Any) -> FsspecStore:
    options = {"key": "k", "secret": SECRET, "token": SECRET, "endpoint_url": url}
    return FsspecStore.from_url("s3://bucket", options, **more)


def of_google(url: str, **more: Any) -> FsspecStore:
    return FsspecStore.from_url("gs://bucket", {"token": "anon", "endpoint_url": url, **more})


def of_azure(url: str) -> FsspecStore:
    text = f"BlobEndpoint={url}/account;SharedAccessSignature=sig={SECRET}"
    return FsspecStore.from_url("az://container", {"connection_string": text})


SERVICES: dict[str, Callable[[str], FsspecStore]] = {
    "s3": of_s3,
    "s3 by s3fs": lambda url: of_s3(url, transport="library"),
    "google": of_google,
    "google by aiohttp": lambda url: of_google(url, session_kwargs={"trust_env": False}),
    "azure": of_azure,
}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("status", [302, 307, 308])
async def test_a_service_that_redirects_is_not_followed(service: str, status: int) -> None:
    async with site() as other:

        async def redirect(peer: Peer) -> None:
            while True:
                try:
                    request = await peer.request()
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                place = other.url + request.decode("latin-1").split(" ")[1]
                head = f"HTTP/1.1 {status} X\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
                await peer.send(head.encode())

        async with scripted_server(redirect) as server:
            store = SERVICES[service](f"http://127.0.0.1:{server.port}")
            uses: list[Awaitable[Any]] = [store.get("k"), store.exists("k")]
            for use in uses:
                with pytest.raises((BackendError, AccessDeniedError)):
                    await use
            await store.aclose()
        assert other.seen == []


@pytest.mark.parametrize("status", [302, 307])
async def test_a_service_below_a_chain_that_redirects_is_not_followed(
    status: int, tmp_path: Path
) -> None:
    async with site() as other, site("127.0.0.1") as home:
        home.status = status
        home.redirects = {"/bucket/k": f"{other.url}/away"}
        chain = {
            "s3": {"key": "k", "secret": SECRET, "token": SECRET, "endpoint_url": home.url},
            "simplecache": {"cache_storage": str(tmp_path)},
        }
        async with FsspecStore.from_url("simplecache::s3://bucket", chain) as store:
            with pytest.raises(BackendError, match="not followed"):
                await store.get("k")
        assert home.seen
        assert other.seen == []
