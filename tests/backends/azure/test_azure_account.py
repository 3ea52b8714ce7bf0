"""Credentials of an Azure account: signatures like those of the SDK, shared tokens."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
import traceback
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import fsspec
import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import HttpRequest
from azure.storage.blob.aio import BlobServiceClient
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._backends.azure.account import account_of
from fsspec_store._backends.azure.credentials import SharedKey
from fsspec_store._backends.azure.tokens import Tokens
from fsspec_store._http.retrier import Retrier
from fsspec_store._http.retry_policy import TRANSIENT, RetryPolicy
from fsspec_store._http.stats import Stats
from fsspec_store.errors import StorageOptionError

KEY = base64.b64encode(b"secret" * 5).decode()

header = st.fixed_dictionaries(
    {"x-ms-date": st.just("Mon, 27 Jul 2026 00:00:00 GMT"), "x-ms-version": st.just("2021-12-02")},
    optional={
        "Content-Length": st.integers(0, 10**9).map(str),
        "Content-MD5": st.binary(min_size=16, max_size=16).map(
            lambda digest: base64.b64encode(digest).decode()
        ),
        "Content-Type": st.sampled_from(
            ["application/octet-stream", "multipart/mixed; boundary=b"]
        ),
        "If-Match": st.just('"0x8D"'),
        "If-None-Match": st.just("*"),
        "x-ms-blob-type": st.just("BlockBlob"),
        "x-ms-range": st.sampled_from(["bytes=0-1", "bytes=7-"]),
    },
)
text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
query = st.dictionaries(
    st.sampled_from(["restype", "comp", "prefix", "marker", "delimiter", "blockid", "maxresults"]),
    text.map(lambda value: quote(value, safe="/~")),
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs.items()))


@given(st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]), text, query, header)
def test_requests_are_signed_as_the_sdk_signs_them(
    method: str, name: str, query: str, headers: dict[str, str]
) -> None:
    path = "/container/" + quote(name, safe="/~")
    ours = asyncio.run(SharedKey("account", KEY).authorization(method, path, query, headers))
    client = BlobServiceClient(
        "https://account.blob.core.windows.net", {"account_name": "account", "account_key": KEY}
    )
    url = f"https://account.blob.core.windows.net{path}" + ("?" + query if query else "")
    request = HttpRequest(method, url, headers=headers)
    client.credential.on_request(PipelineRequest(request, PipelineContext(None)))
    assert ours == request.headers["Authorization"]


def account(**options: Any) -> Any:
    options = {"account_name": "account", **options}
    return account_of(fsspec.filesystem("az", skip_instance_cache=True, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"account_key": KEY},
        {"credential": KEY},
        {"credential": AzureNamedKeyCredential("account", KEY)},
        {"connection_string": f"AccountName=account;AccountKey={KEY}"},
        {"account_key": KEY, "account_host": "account.blob.core.chinacloudapi.cn"},
    ],
    ids=lambda options: "+".join(options),
)
def test_requests_are_signed_with_a_key(options: dict[str, Any]) -> None:
    found = account(**options)
    headers = asyncio.run(found.headers("GET", "/c/b", "", {}))
    assert headers["Authorization"].startswith("SharedKey account:")
    host = options.get("account_host", "account.blob.core.windows.net")
    assert found.url("/c/b", "comp=list") == f"https://{host}/c/b?comp=list"


SIGNATURE = "sv=2022-11-02&sr=c&sp=rl&sig=abc%3D"


@pytest.mark.parametrize(
    "options",
    [
        {"sas_token": SIGNATURE},
        {"sas_token": "?" + SIGNATURE},
        {"credential": SIGNATURE},
        {"credential": AzureSasCredential(SIGNATURE)},
        {"connection_string": f"AccountName=account;SharedAccessSignature={SIGNATURE}"},
    ],
    ids=lambda options: "+".join(options),
)
def test_a_signature_is_in_every_url(options: dict[str, Any]) -> None:
    found = account(**options)
    location = "https://account.blob.core.windows.net/c"
    assert found.url("/c", "") == f"{location}?{SIGNATURE}"
    assert found.url("/c", "comp=list") == f"{location}?comp=list&{SIGNATURE}"
    assert "Authorization" not in asyncio.run(found.headers("GET", "/c", "", {}))
    assert SIGNATURE not in found.service


def test_a_signature_may_be_changed() -> None:
    credential = AzureSasCredential("sig=old")
    found = account(credential=credential)
    credential.update("sig=new")
    assert found.url("/c", "").endswith("/c?sig=new")


def test_an_anonymous_reader_sends_nothing() -> None:
    found = account(anon=True)
    assert found.url("/c", "") == "https://account.blob.core.windows.net/c"
    assert "Authorization" not in asyncio.run(found.headers("GET", "/c", "", {}))


class CountingCredential:
    """A credential that counts its calls, and blocks until it is released."""

    def __init__(self, lifetime: float = 3600) -> None:
        self.lifetime = lifetime
        self.times = 0
        self.threads: set[str] = set()
        self.released = threading.Event()
        self.released.set()
        self.error: Exception | None = None

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        self.times += 1
        self.threads.add(threading.current_thread().name)
        self.released.wait(10)
        if self.error is not None:
            raise self.error
        return AccessToken(f"token-{self.times}", int(time.time() + self.lifetime))


class AsyncCountingCredential(CountingCredential):
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # type: ignore[override]
        return CountingCredential.get_token(self, *scopes, **options)


async def authorize(tokens: Tokens) -> str | None:
    return await tokens.authorization("GET", "/", "", {})


@pytest.mark.parametrize("kind", [CountingCredential, AsyncCountingCredential])
def test_a_token_is_fetched_once_for_all_loops(kind: type[CountingCredential]) -> None:
    credential = kind()
    tokens = Tokens(credential)

    async def many() -> set[str | None]:
        return set(await asyncio.gather(*(authorize(tokens) for _ in range(10))))

    assert asyncio.run(many()) == {"Bearer token-1"}
    assert asyncio.run(many()) == {"Bearer token-1"}
    assert credential.times == 1
    # Never on the loop of the request.
    assert threading.main_thread().name not in credential.threads


@pytest.mark.parametrize("kind", [CountingCredential, AsyncCountingCredential])
async def test_a_token_about_to_expire_is_refreshed(kind: type[CountingCredential]) -> None:
    tokens = Tokens(kind(lifetime=200))
    assert await authorize(tokens) == "Bearer token-1"
    assert await authorize(tokens) == "Bearer token-2"


async def test_a_rejected_token_is_refreshed() -> None:
    tokens = Tokens(CountingCredential())
    assert await authorize(tokens) == "Bearer token-1"
    rejected = tokens.token
    # The first of several rejected requests fetches a new token for all.
    await tokens.refresh(rejected)
    assert await authorize(tokens) == "Bearer token-2"
    await tokens.refresh(rejected)
    assert await authorize(tokens) == "Bearer token-2"


async def test_a_failure_is_shared_and_not_permanent() -> None:
    credential = CountingCredential()
    credential.error = OSError("no token")
    tokens = Tokens(credential)
    credential.released.clear()
    waiting = [asyncio.create_task(authorize(tokens)) for _ in range(3)]
    await asyncio.sleep(0)
    credential.released.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in errors] == ["no token"] * 3
    assert credential.times == 1
    credential.error = None
    assert await authorize(tokens) == "Bearer token-2"


async def test_failed_lookups_are_repeated_at_a_bounded_rate() -> None:
    credential = CountingCredential()
    credential.error = OSError("no token")
    tokens = Tokens(credential)
    for _ in range(100):
        with pytest.raises(OSError, match="no token"):
            await authorize(tokens)
    assert 1 < credential.times < 20


async def test_a_shared_failure_has_no_tracebacks_of_other_requests() -> None:
    credential = CountingCredential()
    credential.error = ServiceRequestError("no token")
    retrier = Retrier("test", RetryPolicy(retries=1), lambda _: TRANSIENT, Stats())
    tokens = Tokens(credential)
    credential.released.clear()
    waiting = [asyncio.create_task(retrier.send(lambda: authorize(tokens))) for _ in range(16)]
    await asyncio.sleep(0)
    credential.released.set()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, ServiceRequestError)
        assert len(error.__notes__) == 1
        assert len(traceback.extract_tb(error.__traceback__)) < 20


class FixedCredential(CountingCredential):
    """A credential that returns a fixed object."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    def get_token(self, *scopes: str, **options: Any) -> Any:
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


@pytest.mark.parametrize(
    "found",
    [
        None,
        AccessToken("a\nb", 2**40),
        AccessToken("t\u4e2d", 2**40),
        AccessToken("", 2**40),
        AccessToken("t", 10**400),
        SimpleNamespace(token="t", expires_on=None),
        SimpleNamespace(token="t"),
        SystemExit(3),
    ],
    ids=repr,
)
async def test_an_invalid_token_is_an_error(found: Any) -> None:
    tokens = Tokens(FixedCredential(found))
    for _ in range(2):
        with pytest.raises(ClientAuthenticationError, match="returned no valid token"):
            await authorize(tokens)


async def test_a_token_may_end_with_a_line_break_and_expire_at_a_string() -> None:
    found = SimpleNamespace(token="t\n", expires_on=str(2**40))
    assert await authorize(Tokens(FixedCredential(found))) == "Bearer t"


async def test_an_asynchronous_method_may_be_wrapped() -> None:
    credential = AsyncCountingCredential()
    wrapped = SimpleNamespace(get_token=lambda scope: credential.get_token(scope))
    assert await authorize(Tokens(wrapped)) == "Bearer token-1"


async def test_a_cancelled_fetch_cancels_no_request() -> None:
    class Cancelled:
        async def get_token(self, *scopes: str) -> AccessToken:
            raise asyncio.CancelledError

    with pytest.raises(ServiceRequestError, match="cancelled"):
        await authorize(Tokens(Cancelled()))


@pytest.mark.parametrize("signature", ["sig=a b", "sig=a#b", "sig=a\r\nX: y", "sig=\u4e2d"])
def test_an_invalid_signature_is_rejected(signature: str) -> None:
    connection = f"AccountName=account;SharedAccessSignature={signature}"
    with pytest.raises(StorageOptionError, match="invalid in a URL") as caught:
        account(connection_string=connection)
    assert signature not in str(caught.value)
    found = account(credential=AzureSasCredential(signature))
    with pytest.raises(ClientAuthenticationError, match="invalid in a URL"):
        found.url("/c", "")


async def test_a_cancelled_request_does_not_cancel_the_fetch() -> None:
    credential = CountingCredential()
    credential.released.clear()
    tokens = Tokens(credential)
    first, second = (asyncio.create_task(authorize(tokens)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    credential.released.set()
    assert await second == "Bearer token-1"
    assert first.cancelled()


def test_credentials_made_by_adlfs_run_in_a_thread() -> None:
    found = account(tenant_id="t", client_id="c", client_secret="s")
    assert isinstance(found.credential, Tokens)
    assert found.credential.can_refresh
    assert "aio" not in type(found.credential._credential).__module__
