"""The contract and Azure's special cases on Azurite, in one container with a prefix per test."""

from __future__ import annotations

import asyncio
import gzip
import secrets
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from azure.storage.blob import ContainerSasPermissions, ContentSettings, generate_container_sas
from conformance import Limits
from conformance.support import buf, content, listed, put, read
from servers.azurite import AzureEndpoint
from servers.fault_proxy import Fault, FaultProxy, fault_proxy, the_first
from servers.roots import bucket_of, new_root

from fsspec_store import FsspecStore, RangeByteRequest, SuffixByteRequest
from fsspec_store._backends.azure.uploads import checksum_headers
from fsspec_store._http.payloads import Body
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    InvalidKeyError,
    StorageOptionError,
    StoreURLError,
    VersionMismatchError,
)

from ..on_bucket import OnBucket


class TestAzurite(OnBucket):
    scheme = "az"
    limits = Limits(
        backslash="the service takes it for a slash",
        trailing_dot="the service drops dots at the end of a segment",
        examples=25,
        # More than one batch, less than the 5000 entries of a page.
        many=300,
    )

    @pytest.fixture
    def endpoint(self, azurite_endpoint: AzureEndpoint) -> AzureEndpoint:
        return azurite_endpoint

    async def test_directory_markers_are_not_keys(
        self, azurite_endpoint: AzureEndpoint, make_store: Any
    ) -> None:
        store = make_store()
        container, _, root = store.path.partition("/")
        with closing(azurite_endpoint.client()) as client:
            blobs = client.get_container_client(container)
            for marker in ("folder", "folder/empty", "folder/slash/"):
                blobs.upload_blob(f"{root}/{marker}", b"", metadata={"hdi_isfolder": "true"})
            await put(store, "folder/a")
            assert await listed(store.list()) == ["folder/a"]
            assert await listed(store.list_dir("")) == ["folder"]
            assert await listed(store.list_prefix("fol")) == ["folder/a"]
            for folder in ("folder", "folder/empty"):
                assert not await store.exists(folder)
                assert await store.get(folder) is None
                for part in (RangeByteRequest(0, 1), SuffixByteRequest(1)):
                    assert await store.get(folder, byte_range=part) is None
            await store.delete("folder/a")
            assert await store.is_empty("folder")
            await store.clear()
            assert list(blobs.list_blob_names(name_starts_with=f"{root}/")) == []


@pytest.fixture
def proxy(azurite_endpoint: AzureEndpoint) -> Iterator[FaultProxy]:
    with fault_proxy(azurite_endpoint.url) as proxy:
        yield proxy


@pytest.fixture
def beyond(azurite_endpoint: AzureEndpoint, proxy: FaultProxy) -> AzureEndpoint:
    """The server, seen through the proxy."""
    return AzureEndpoint(proxy.url, azurite_endpoint.account, azurite_endpoint.key)


@pytest.fixture
def open_store(azurite_endpoint: AzureEndpoint, beyond: AzureEndpoint) -> Iterator[Any]:
    """Opens stores behind the proxy; each test has another root."""
    url = f"az://{new_root(azurite_endpoint)}"
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(
            FsspecStore.from_url(url, beyond.storage_options(), **options)
        )


@pytest.fixture
def store(open_store: Any) -> FsspecStore:
    store: FsspecStore = open_store()
    return store


def sent(proxy: FaultProxy) -> list[str]:
    """The methods of all requests since the last call."""
    methods = [seen.method for seen in proxy.seen]
    proxy.seen.clear()
    return methods


async def test_many_are_removed_by_few_requests(store: FsspecStore, proxy: FaultProxy) -> None:
    names = [f"c/{number}" for number in range(297)] + ["c/ü %20 ?#", "c/'\"", "c/ "]
    await store._set_many((name, buf(b"x")) for name in names)
    sent(proxy)
    await store.delete_dir("c")
    assert Counter(sent(proxy)) == {"GET": 1, "POST": 2}
    assert await listed(store.list()) == []


async def test_a_failed_request_of_a_batch_is_raised(
    store: FsspecStore, azurite_endpoint: AzureEndpoint
) -> None:
    await put(store, "c/a", "c/held", "c/z")
    container, _, root = store.path.partition("/")
    with closing(azurite_endpoint.client()) as client:
        lease = client.get_blob_client(container, f"{root}/c/held").acquire_lease()
        with pytest.raises(BackendError, match="412, LeaseIdMissing"):
            await store.delete_dir("c")
        assert await listed(store.list()) == ["c/held"]
        lease.break_lease(0)
    await store.delete_dir("c")
    assert await store.is_empty("")


async def test_a_blob_with_snapshots_is_not_removed(
    store: FsspecStore, azurite_endpoint: AzureEndpoint
) -> None:
    await put(store, "a", "b")
    container, _, root = store.path.partition("/")
    with closing(azurite_endpoint.client()) as client:
        blob = client.get_blob_client(container, f"{root}/a")
        blob.create_snapshot()
        for remove in (partial(store.delete, "a"), store.clear):
            with pytest.raises(BackendError, match="SnapshotsPresent"):
                await remove()
        assert await listed(store.list()) == ["a"]
        blob.delete_blob(delete_snapshots="include")


@pytest.mark.parametrize("new", [b"", b"new", content(300_000)], ids=len)
async def test_a_suffix_is_never_of_two_versions(
    store: FsspecStore, proxy: FaultProxy, azurite_endpoint: AzureEndpoint, new: bytes
) -> None:
    await put(store, "a", data=b"old" * 100)
    container, _, root = store.path.partition("/")
    values = iter([new])

    def overwrite(method: str, target: str, headers: Any) -> None:
        if method == "GET" and (value := next(values, None)) is not None:
            client.get_blob_client(container, f"{root}/a").upload_blob(value, overwrite=True)

    with closing(azurite_endpoint.client()) as client:
        proxy.plan = overwrite
        assert await read(store, "a", SuffixByteRequest(200)) == new[-200:]
    assert sent(proxy) == ["PUT", "HEAD", "GET", "HEAD"] + ["GET"] * bool(new)


@pytest.mark.parametrize("value", [b"", b"mine", content(2_000_000)], ids=len)
async def test_a_closed_idle_connection_loses_no_creation(
    store: FsspecStore, proxy: FaultProxy, value: bytes
) -> None:
    await put(store, "other")
    # aiohttp retries this one itself: no attempt of the store fails.
    proxy.plan = the_first(1, Fault.LOST, method="PUT")
    assert await store._backend.create(f"{store.path}/lock", memoryview(value))


class TestBlocks:
    @pytest.fixture
    def store(self, open_store: Any) -> FsspecStore:
        store: FsspecStore = open_store(large_value_bytes=1000, part_bytes=1000)
        return store

    async def test_a_large_value_appears_at_once(
        self, store: FsspecStore, proxy: FaultProxy
    ) -> None:
        data = content(10_500)
        await put(store, "a", data=data)
        assert sent(proxy) == ["PUT"] * 12
        assert await read(store, "a") == data

    async def test_its_conditions_are_those_of_a_small_one(self, store: FsspecStore) -> None:
        await store.set_if_not_exists("a", buf(content(3000)))
        await store.set_if_not_exists("a", buf(content(5000)))
        assert await read(store, "a") == content(3000)
        version = (await store.get_version("a")).version
        await store.set("a", buf(content(4000)), if_match=version)
        for key in ("a", "missing"):
            with pytest.raises(VersionMismatchError):
                await store.set(key, buf(content(6000)), if_match=version)
        assert await read(store, "a") == content(4000)
        assert not await store.exists("missing")

    async def test_writers_of_one_key_do_not_mix(self, store: FsspecStore) -> None:
        values = [bytes([number]) * 5000 for number in range(6)]
        for _ in range(3):
            await asyncio.gather(*(put(store, "a", data=value) for value in values))
            assert await read(store, "a") in values


async def test_a_body_damaged_in_transfer_is_rejected(store: FsspecStore) -> None:
    backend = store._backend
    body = Body(b"damaged")
    headers = {"x-ms-blob-type": "BlockBlob", **await checksum_headers(memoryview(b"whole.."))}
    with pytest.raises(Exception, match=r"status 400.*(?i:md5)"):
        await backend._client.request(
            "PUT", f"{store.path}/a", expect={201}, headers=headers, data=body
        )
    assert not await store.exists("a")


async def test_a_missing_container_is_not_a_missing_key(beyond: AzureEndpoint) -> None:
    with FsspecStore.from_url("az://no-such-container/x", beyond.storage_options()) as store:
        for use in (
            store.get("a"),
            store.get("a", byte_range=SuffixByteRequest(1)),
            store.get("a", byte_range=RangeByteRequest(0, 1)),
            store.exists("a"),
            put(store, "a"),
            store.set_if_not_exists("a", buf(b"x")),
            store.delete("a"),
            store.clear(),
            listed(store.list()),
            listed(store.list_dir("")),
        ):
            with pytest.raises(BucketNotFoundError, match="ContainerNotFound") as caught:
                await use
            assert "RequestId" not in str(caught.value)


async def test_a_blob_stored_compressed_is_not_decompressed(
    store: FsspecStore, azurite_endpoint: AzureEndpoint
) -> None:
    container, _, root = store.path.partition("/")
    kept = gzip.compress(content(1000))
    with closing(azurite_endpoint.client()) as client:
        client.get_blob_client(container, f"{root}/a").upload_blob(
            kept, content_settings=ContentSettings(content_encoding="gzip")
        )
    assert await read(store, "a") == kept
    assert await read(store, "a", RangeByteRequest(3, 30)) == kept[3:30]


@pytest.mark.parametrize(
    "key", ["a.", "a./b", "...", "back\\slash", "a\x07b", "a\x7f", "n" * 1025, "a/" * 254 + "a"]
)
async def test_an_invalid_name_is_rejected(store: FsspecStore, proxy: FaultProxy, key: str) -> None:
    for use in (store.get(key), put(store, key), store.exists(key), store.delete(key)):
        with pytest.raises(InvalidKeyError, match="Azure"):
            await use
    assert proxy.count == 0


async def test_a_name_of_maximum_length(store: FsspecStore) -> None:
    key = "é" * (1024 - len(store.path.partition("/")[2]) - 1)
    await put(store, key, data=b"x")
    assert await listed(store.list()) == [key]
    with pytest.raises(InvalidKeyError, match="1024"):
        await put(store, key + "e")
    # Names are counted in UTF-16 code units: this character has two.
    with pytest.raises(InvalidKeyError, match="1024"):
        await put(store, key[:-1] + "🧊")


@pytest.mark.parametrize(
    "container", ["Upper", "ab", "under_score", "-dash", "dash-", "two--dashes", "x" * 64, "a.b"]
)
def test_an_invalid_container_name_is_rejected(
    container: str, azurite_endpoint: AzureEndpoint
) -> None:
    with pytest.raises(StoreURLError, match="invalid container name"):
        FsspecStore.from_url(f"az://{container}/x", azurite_endpoint.storage_options())


def test_urls_with_the_account_in_them() -> None:
    key = {"account_key": "c2VjcmV0"}
    for url in (
        "abfs://container@account.dfs.core.windows.net/some/path",
        "abfss://container@account.dfs.core.windows.net/some/path/",
        "abfs://account.dfs.core.windows.net/container/some/path",
    ):
        store = FsspecStore.from_url(url, key)
        assert store.path == "container/some/path"
        assert store.url == "abfs://container/some/path"
        account = store._backend._client.account  # type: ignore[attr-defined]
        assert account.url("", "") == "https://account.blob.core.windows.net"
    with pytest.raises(StoreURLError, match="version of a blob"):
        FsspecStore.from_url("abfs://c0c@account.dfs.core.windows.net/a?versionid=1", key)


SECRET = "c2VjcmV0"
HOST = "https://h.example"
LOCAL = "http://127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"acount_key": SECRET}, "'acount_key' .did you mean 'account_key'"),
        ({"colour": "red", "batch_size": 3}, "option 'colour'$"),
        ({"account_key": "no key!"}, "invalid account_key"),
        ({"request_session": object()}, "request_session"),
        ({"location_mode": "tertiary"}, "location_mode must be"),
        ({"account_host": f"user:{SECRET}@host"}, "without a user name"),
        ({"account_host": "host:99999"}, "without a user name"),
        ({"account_host": "host:port"}, "without a user name"),
        (
            {"connection_string": f"BlobEndpoint={LOCAL};AccountName=x;AccountKey={SECRET}"}
            | {"location_mode": "secondary", "account_name": None},
            "secondary endpoint",
        ),
    ],
)
def test_an_unsupported_option_is_rejected(options: dict[str, Any], names: str) -> None:
    given = {"account_name": "account", "anon": True, **options}
    with pytest.raises(StorageOptionError, match=names) as caught:
        FsspecStore.from_url("az://container/x", given)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_secondary_endpoint_is_read_only() -> None:
    names = f"BlobEndpoint={HOST}/p;BlobSecondaryEndpoint={HOST}/s;AccountName=x"
    options = {"connection_string": f"{names};AccountKey={SECRET}", "location_mode": "secondary"}
    store = FsspecStore.from_url("az://container/x", options)
    account = store._backend._client.account  # type: ignore[attr-defined]
    assert account.url(account.base, "") == f"{HOST}/s"
    assert not store.supports_writes
    assert not store.supports_deletes


def _signed(endpoint: AzureEndpoint, container: str, **permissions: bool) -> str:
    return str(
        generate_container_sas(
            endpoint.account,
            container,
            endpoint.key,
            permission=ContainerSasPermissions(**permissions),
            expiry=datetime.now(UTC) + timedelta(hours=1),
        )
    )


def _with_signature(endpoint: AzureEndpoint, url: str, signature: str) -> FsspecStore:
    connection = f"BlobEndpoint={endpoint.url};SharedAccessSignature={signature}"
    return FsspecStore.from_url(url, {"connection_string": connection})


async def test_a_store_works_with_a_signature_alone(
    beyond: AzureEndpoint, proxy: FaultProxy
) -> None:
    container = bucket_of(beyond)
    all_of_it = _signed(
        beyond, container, read=True, write=True, create=True, delete=True, list=True
    )
    url = f"az://{new_root(beyond)}"
    async with _with_signature(beyond, url, all_of_it) as store:
        await put(store, "a", "b/c", "b/ü?d#")
        assert await read(store, "b/ü?d#", SuffixByteRequest(1)) == b"#"
        sent(proxy)
        await store.delete_dir("b")
        assert sent(proxy) == ["GET", "POST"]
        assert await listed(store.list()) == ["a"]
        assert "sig=" not in repr(store) + store.url


@pytest.mark.parametrize("kind", ["signature", "key"])
async def test_an_access_error_shows_no_secret(beyond: AzureEndpoint, kind: str) -> None:
    container = bucket_of(beyond)
    url = f"az://{new_root(beyond)}"
    if kind == "signature":
        good = _signed(beyond, container, read=True, list=True)
        query, _, signature = good.partition("sig=")
        secret = ("y" if signature[0] == "x" else "x") + signature[1:]
        store = _with_signature(beyond, url, f"{query}sig={secret}")
    else:
        secret = "c2VjcmV0"
        wrong = AzureEndpoint(beyond.url, beyond.account, secret)
        store = FsspecStore.from_url(url, wrong.storage_options())
    async with store:
        for use in (read(store, "a"), store.exists("a"), put(store, "a"), listed(store.list())):
            with pytest.raises(AccessDeniedError) as caught:
                await use
            text = "".join(traceback.format_exception(caught.value))
            assert secret not in text
            assert "sig=" not in text
            assert "SharedKey" not in text


async def test_a_signature_to_read_does_not_write(beyond: AzureEndpoint) -> None:
    container = bucket_of(beyond)
    url = f"az://{new_root(beyond)}"
    async with FsspecStore.from_url(url, beyond.storage_options()) as owner:
        await put(owner, "a", "b")
    async with _with_signature(beyond, url, _signed(beyond, container, read=True, list=True)) as it:
        assert await read(it, "a") == b"a"
        for use in (put(it, "c"), it.delete("a"), it.clear()):
            with pytest.raises(AccessDeniedError):
                await use
        assert await listed(it.list()) == ["a", "b"]


async def test_public_data_is_read_anonymously(beyond: AzureEndpoint) -> None:
    private, public = bucket_of(beyond), f"public-{secrets.token_hex(4)}"
    with closing(beyond.client()) as client:
        client.create_container(public, public_access="container").upload_blob("x/a", b"value")
    options = {"connection_string": f"BlobEndpoint={beyond.url}", "anon": True}
    async with FsspecStore.from_url(f"az://{public}/x", options) as store:
        assert await read(store, "a") == b"value"
        assert await store.get("missing") is None
        assert await listed(store.list()) == ["a"]
        with pytest.raises(AccessDeniedError):
            await put(store, "b")
    async with FsspecStore.from_url(f"az://{private}/x", options) as store:
        for use in (store.get("a"), store.exists("a"), listed(store.list())):
            with pytest.raises(AccessDeniedError):
                await use
