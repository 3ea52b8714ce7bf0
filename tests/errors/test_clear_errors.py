"""Invalid input and denied access: the error names the cause and contains no secret."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conformance.support import buf, listed, put, read
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import get_filesystem_class
from servers import HTTPEndpoint, S3Endpoint
from servers.scripted_s3 import Reply, scripted_s3

from fsspec_store import Buffer, FsspecStore, RangeByteRequest, StorePath
from fsspec_store._core.redaction import public_text, public_url
from fsspec_store._core.urls import named_options
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    MissingExtraError,
    StorageOptionError,
    StoreURLError,
    UnreachableError,
)
from fsspec_store.zarr import open_store


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("", "''"),
        ("   ", "'   '"),
        ("s3://", "s3://"),
        ("s3:///", "s3:///"),
        ("gs://", "gs://"),
        ("s3:bucket/x", "s3://bucket/x"),
        ("s3:/bucket/x", "s3://bucket/x"),
        ("http:/host/x", "http://host/x"),
        ("s3://bad bucket!/x", "bad bucket!"),
        ("s5://bucket/x", "unknown protocol 's5'"),
        ("htps://host/x", "did you mean https://"),
        ("memry://x", "did you mean memory://"),
        ("S3://bucket/x", "did you mean s3://"),
        ("simplecache::s5://bucket", "unknown protocol 's5'"),
        ("file:///a\0b", "NUL"),
        ("zip://a.zip", "has no archive: write zip://::archive"),
    ],
)
def test_a_url_that_names_no_place(url: str, names: str) -> None:
    with pytest.raises(StoreURLError) as caught:
        FsspecStore.from_url(url)
    assert names in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("url", [None, 7, b"s3://bucket", ["s3://bucket"]])
def test_a_url_is_text(url: Any) -> None:
    with pytest.raises(TypeError, match=type(url).__name__):
        FsspecStore.from_url(url)


@pytest.mark.parametrize(
    ("url", "options", "names"),
    [
        ("s3://bucket", {"endpoint_url": "127.0.0.1:9000"}, "endpoint_url must be http"),
        ("s3://bucket", {"endpoint_url": "http://u:p@host"}, "endpoint_url must be http"),
        (
            "s3://bucket",
            {"client_kwargs": {"endpoint_url": "host?t=1"}},
            "endpoint_url must be http",
        ),
        ("s3://bucket", {"endpoint": "http://x"}, "'endpoint'.*did you mean 'endpoint_url'"),
        ("s3://bucket", {"acces_key": "x", "region": "y"}, "'acces_key'.*'region'"),
        ("s3://bucket", {"region": "y"}, "'region' .did you mean client_kwargs=.'region_name'"),
        ("s3://bucket", {"client_kwargs": {"region": "y"}}, "client_kwargs.*'region_name'"),
        ("s3://bucket", {"endpoint_url": "127.0.0.1:9000"}, "; write http://127.0.0.1:9000"),
        ("s3://bucket", {"endpoint_url": "localhost:9000/a"}, "; write http://localhost:9000/a"),
        ("s3://bucket", {"endpoint_url": "[::1]:9000"}, r"; write http://\[::1\]:9000"),
        ("s3://bucket", {"endpoint_url": "s3.example.org"}, "; write https://s3.example.org"),
        ("gs://b", {"token": "anon", "endpoint_url": "127.0.0.1:1"}, "; write http://127.0.0.1:1"),
        ("s3://bucket", {"access_key": "x"}, "'access_key' .did you mean 'key'"),
        ("s3://bucket", {"aws_access_key_id": "x"}, "did you mean 'key'"),
        ("s3://bucket", {"access_key_id": "x"}, "did you mean 'key'"),
        ("s3://bucket", {"aws_secret_access_key": "x"}, "did you mean 'secret'"),
        ("s3://bucket", {"aws_session_token": "x"}, "did you mean 'token'"),
        ("s3://bucket", {"endpointUrl": "x"}, "did you mean 'endpoint_url'"),
        ("s3://bucket", {"verify": False}, "did you mean client_kwargs={'verify': ...}"),
        ("s3://bucket", {"timeout": 3}, "did you mean the store parameter timeout=..."),
        ("s3://bucket", {"retries": 3}, "did you mean the store parameter retries=..."),
        ("s3://bucket", {"readonly": 3}, "did you mean the store parameter read_only=..."),
        (
            "s3://bucket",
            {"config_kwargs": {"read_timout": 3}},
            "config_kwargs has no 'read_timout'",
        ),
        ("s3://bucket", {"config_kwargs": "abc"}, "config_kwargs must be a mapping"),
        ("s3://bucket", {"client_kwargs": ["abc"]}, "client_kwargs must be a mapping"),
        ("s3://bucket", {"key": "key\n", "secret": "s"}, "key must be text without line breaks"),
        ("s3://bucket", {"key": "k", "secret": 5}, "secret must be text .* got int"),
        ("s3://bucket", {"key": "k", "secret": "s", "token": "a\nb"}, "token must be text"),
        ("gs://bucket", {"token": "anon", "credentials": "x"}, "'credentials' .did you mean 'tok"),
        ("gs://bucket", {"token": "anon", "project_id": "x"}, "did you mean 'project'"),
        ("abfs://container", {"account": "x"}, "'account' .did you mean 'account_name'"),
        ("abfs://container", {"account_name": "x", "sas": "x"}, "did you mean 'sas_token'"),
        ("https://host", {"token": "x"}, "did you mean headers={'Authorization'"),
        ("https://host", {"headers": "x"}, "headers must be a mapping of str to str"),
        ("https://host", {"client_kwargs": {"headers": {"x": 1}}}, "headers must be a mapping"),
        ("/nowhere/x", {"auto_mkdri": True}, "'auto_mkdri' .did you mean 'auto_mkdir'"),
        ("/nowhere/x", {"bogus": 1, "s4": {}}, "file:// takes no storage option 'bogus', 's4'"),
        ("memory://x", {"bogus": 1}, "memory:// takes no storage option 'bogus'"),
        ("memory://x", {"auto_mkdr": 1}, "'auto_mkdr'"),
        ("memory://x", {"readonly": True}, "did you mean the store parameter read_only=..."),
        ("/nowhere", {"read_only": True}, "did you mean the store parameter read_only=..."),
        ("s3://b", {"read_onyl": True}, "did you mean the store parameter read_only=..."),
        ("abfs://container", {}, "'abfs://container'.*Must provide.*account_name"),
        ("file:///tmp", [("auto_mkdir", True)], "list"),
    ],
)
def test_a_storage_option_that_is_none(url: str, options: Any, names: str) -> None:
    with pytest.raises(StorageOptionError, match=names):
        FsspecStore.from_url(url, options)


#: Of filesystems with options: other protocols have none, or all of another one.
PROTOCOLS = [
    "abfs",
    "file",
    "ftp",
    "gs",
    "https",
    "memory",
    "reference",
    "s3",
    "sftp",
    "simplecache",
    "tar",
    "zip",
]


@pytest.mark.parametrize("url", ["memory://x", "/nowhere/x"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memory_and_files_take_the_options_of_other_filesystems(url: str, protocol: str) -> None:
    # One set of options for several URLs.
    options = dict.fromkeys(named_options(get_filesystem_class(protocol)) - {"fo"})
    assert FsspecStore.from_url(url, {**options, protocol: {}}).supports_listing


@pytest.mark.parametrize(
    ("option", "value"), [("out_of_range", "clamp"), ("max_concurrency", 0), ("colour", "red")]
)
def test_an_option_of_the_store_that_is_none(option: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=option):
        FsspecStore.from_url("memory://x", **{option: value})


@pytest.mark.parametrize(
    ("protocol", "library", "extra"),
    [
        ("s3", "s3fs", "s3"),
        ("gs", "gcsfs", "gcs"),
        ("abfs", "adlfs", "azure"),
        ("https", "aiohttp", "http"),
    ],
)
def test_the_error_of_a_missing_extra_names_the_command(
    protocol: str, library: str, extra: str
) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from fsspec_store import FsspecStore
from fsspec_store.errors import MissingExtraError
try:
    FsspecStore.from_url("{protocol}://bucket/x")
except MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert f"pip install 'fsspec-store[{extra}]'" in done.stdout
    assert f"{protocol}://" in done.stdout


def test_the_zarr_flavour_without_zarr_names_the_command() -> None:
    program = """
import sys
sys.modules["zarr"] = sys.modules["zarr.abc.store"] = None
import fsspec_store.zarr
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert MissingExtraError.__name__ in done.stderr
    assert "pip install 'fsspec-store[zarr]'" in done.stderr


@pytest.mark.parametrize("layer", ["simplecache", "filecache", "blockcache"])
def test_a_folder_for_copies_that_is_a_file(layer: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(BackendError, match=f"cannot open '{layer}::memory://x': .*file"):
        FsspecStore.from_url(f"{layer}::memory://x", {layer: {"cache_storage": str(file)}})


def test_an_archive_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for protocol in ("zip", "tar"):
        with pytest.raises(BackendError, match=f"cannot open '{protocol}://::.*file'"):
            FsspecStore.from_url(f"{protocol}://::{file}")


@pytest.mark.parametrize("url", ["s3://bucket/x", "memory://x", "/nowhere/x"])
@pytest.mark.parametrize("given", [RangeByteRequest(0, 4), 7, 0, "numpy", "", Buffer])
@pytest.mark.parametrize("opened", [FsspecStore.from_url, open_store])
async def test_an_invalid_prototype_is_rejected_before_any_request(
    opened: Callable[..., FsspecStore], url: str, given: Any
) -> None:
    said = rf"prototype must be a BufferPrototype, got {type(given).__name__}.*byte_range="
    options = {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9"}
    store = opened(url, options, retries=0)
    for call in (
        lambda: store.get("a", given),
        lambda: store.get_version("a", given),
        lambda: store.get_partial_values(given, [("a", None)]),
        lambda: store.get_partial_values(given, []),
        lambda: anext(store.get_ranges("a", [None], prototype=given)),
        lambda: anext(store._get_many([("a", given, None)])),
        lambda: StorePath(store, "a").get(given),
    ):
        with pytest.raises(TypeError, match=said):
            await call()
    assert store.stats.requests == 0
    await store.aclose()


@pytest.mark.parametrize("url", ["s3://bucket/x", "memory://x", "/nowhere/x"])
def test_nor_is_it_in_the_blocking_methods(url: str) -> None:
    options = {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9"}
    given: Any = RangeByteRequest(0, 4)
    store = open_store(url, options, retries=0)
    for call in (
        lambda: store.sync.get("a", given),
        lambda: store.sync.get_version("a", given),
        lambda: store.sync.get_partial_values(given, [("a", None)]),
        lambda: list(store.sync.get_ranges("a", [None], prototype=given)),
        lambda: store.get_sync("a", prototype=given),
        lambda: store.get_ranges_sync("a", [None], prototype=given),
    ):
        with pytest.raises(TypeError, match=r"got RangeByteRequest.*byte_range="):
            call()
    assert store.stats.requests == 0
    store.close()


Use = Callable[[FsspecStore], Any]

READS: dict[str, Use] = {
    "get": lambda store: store.get("a/b"),
    "exists": lambda store: store.exists("a/b"),
    "getsize": lambda store: store.getsize("a/b"),
    "get_partial_values": lambda store: store.get_partial_values(None, [("a/b", None)]),
    "list": lambda store: listed(store.list()),
    "list_prefix": lambda store: listed(store.list_prefix("a/b")),
    "list_dir": lambda store: listed(store.list_dir("a/b")),
    "is_empty": lambda store: store.is_empty("a/b"),
    "getsize_prefix": lambda store: store.getsize_prefix("a/b"),
}
WRITES: dict[str, Use] = {
    "set": lambda store: store.set("a/b", buf(b"x")),
    "set_if_not_exists": lambda store: store.set_if_not_exists("a/b", buf(b"x")),
    "set_partial_values": lambda store: store.set_partial_values([("a/b", 0, b"x")]),
    "delete": lambda store: store.delete("a/b"),
    "delete_dir": lambda store: store.delete_dir("a/b"),
}
USES = READS | WRITES


@pytest.fixture(params=["moto", "seaweedfs", "minio"])
def endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    return request.getfixturevalue(f"{request.param}_endpoint")


@pytest.fixture(params=["seaweedfs", "minio"])
def strict_endpoint(request: pytest.FixtureRequest) -> S3Endpoint:
    endpoint: S3Endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    assert endpoint.enforces_credentials
    return endpoint


async def test_a_missing_bucket_is_an_error_and_not_a_missing_key(endpoint: S3Endpoint) -> None:
    # SeaweedFS makes a missing bucket for an administrator's first write.
    uses = READS if endpoint.name == "seaweedfs" else USES
    async with FsspecStore.from_url("s3://no-such-bucket/x", endpoint.storage_options()) as store:
        for name, use in uses.items():
            with pytest.raises(BucketNotFoundError) as caught:
                await use(store)
            assert "s3://no-such-bucket/x" in str(caught.value), name
            assert not isinstance(caught.value, FileNotFoundError), name


async def test_a_web_server_in_place_of_s3_has_no_missing_keys(
    nginx_endpoint: HTTPEndpoint, transport: str
) -> None:
    options = {"anon": True, "endpoint_url": nginx_endpoint.root}
    async with FsspecStore.from_url(
        "s3://no-such/x", options, transport=transport, retries=0
    ) as store:
        for name, use in USES.items():
            with pytest.raises(OSError, match="s3://no-such/x") as caught:
                await use(store)
            assert not isinstance(caught.value, FileNotFoundError), name
            assert "does not speak S3" in str(caught.value), name


async def test_a_code_is_shown_with_any_number_in_the_name_of_the_bucket() -> None:
    async with (
        scripted_s3(lambda asked: Reply(404)) as server,
        FsspecStore.from_url("s3://run-24040/x", server.options(), retries=0) as store,
    ):
        with pytest.raises(BucketNotFoundError, match=r": 404: run-24040$"):
            await store.get("a")


def wrong_secret(endpoint: S3Endpoint) -> dict[str, Any]:
    return {**endpoint.storage_options(), "secret": "wrong-" + "s3cr3t" * 5}


def unknown_key(endpoint: S3Endpoint) -> dict[str, Any]:
    return {**endpoint.storage_options(), "key": "AKIAUNKNOWNUNKNOWN00"}


def anonymous(endpoint: S3Endpoint) -> dict[str, Any]:
    options = {**endpoint.storage_options(), "anon": True}
    del options["key"], options["secret"]
    return options


@pytest.mark.parametrize("credentials", [wrong_secret, unknown_key, anonymous])
async def test_refused_access_is_an_error_and_never_a_missing_key(
    strict_endpoint: S3Endpoint, credentials: Callable[[S3Endpoint], dict[str, Any]]
) -> None:
    bucket = strict_endpoint.make_bucket()
    options = credentials(strict_endpoint)
    async with (
        FsspecStore.from_url(f"s3://{bucket}", strict_endpoint.storage_options()) as allowed,
        FsspecStore.from_url(f"s3://{bucket}", options) as refused,
    ):
        await put(allowed, "a/b", data=b"kept")
        for name, use in USES.items():
            with pytest.raises(AccessDeniedError) as caught:
                await use(refused)
            error = caught.value
            assert isinstance(error, PermissionError), name
            assert error.key == "" if name == "list" else error.key in ("a/b", "a/b/"), name
            assert f"{error.key!r} in s3://{bucket}" in str(error), name
            shown = "".join(traceback.format_exception(error))
            assert options.get("key", "no key") not in str(error), name
            assert options.get("secret", "no secret") not in shown, name
        assert await read(allowed, "a/b") == b"kept"
        assert await listed(allowed.list()) == ["a/b"]


async def test_no_credentials_at_all(
    strict_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    options = {"endpoint_url": strict_endpoint.url}
    async with FsspecStore.from_url("s3://test-bucket", options) as store:
        with pytest.raises(AccessDeniedError, match="credentials"):
            await store.get("a")


async def test_an_unreachable_server_is_an_error_with_its_cause(moto_endpoint: S3Endpoint) -> None:
    options = {
        **moto_endpoint.storage_options(),
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    async with FsspecStore.from_url("s3://test-bucket/x", options, retries=1) as store:
        with pytest.raises(OSError, match=r"'a' in s3://test-bucket/x.*127\.0\.0\.1:9") as caught:
            await store.get("a")
    assert caught.value.__cause__ is not None


S3_KEYS = {"key": "k", "secret": "s"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/x", {**S3_KEYS, "endpoint_url": "http://{}"}),
        ("gs://bucket/x", {"token": "anon", "endpoint_url": "http://{}"}),
        (
            "abfs://bucket/x",
            {"connection_string": "AccountName=a;AccountKey=aw==;BlobEndpoint=http://{}/a"},
        ),
        ("http://{}/x", {}),
        ("webdav://x", {"base_url": "http://{}"}),
        ("ftp://{}/x", {}),
        ("sftp://{}/x", {}),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid:9"])
@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_an_unreachable_server_is_an_error_of_its_own(
    url: str, options: dict[str, str], host: str, transport: Any
) -> None:
    given = {name: text.format(host) for name, text in options.items()}

    async def read() -> None:
        # FTP and SFTP connect when the store is opened.
        store = FsspecStore.from_url(url.format(host), given, transport=transport, retries=0)
        async with store:
            await store.get("a")

    with pytest.raises(UnreachableError, match=r"cannot (read|open) '"):
        await read()


async def test_secrets_are_never_shown(moto_endpoint: S3Endpoint) -> None:
    # Put together here, so that a traceback's source lines do not show it.
    secret = "-".join(["s3cr3t", "value"])
    options = {**moto_endpoint.storage_options(), "key": "AKIASHOWN", "secret": secret}
    store = FsspecStore.from_url("s3://test-bucket/x", options)
    for text in (repr(store), str(store), store.url):
        assert "s3cr3t" not in text
        assert "AKIASHOWN" not in text
    with pytest.raises(StorageOptionError) as caught:
        FsspecStore.from_url("s3://test-bucket", {**options, "sekret": secret})
    assert "'sekret'" in str(caught.value)
    assert secret not in "".join(traceback.format_exception(caught.value))
    for url in ("ftp://s3cr3t@host/x", "zip://a.zip::sftp://u:s3cr3t@host/b", "s5://s3cr3t@x"):
        assert "s3cr3t" not in public_url(url)
    assert public_url("abfs://container@account/x") == "abfs://container@account/x"
    assert public_url("s3://bucket/v?versionId=1#x") == "s3://bucket/v?versionId=1#x"
    for url in (
        "s3://AKIA:s3cr3t@bucket/x",
        "s3://AKIA:s3/s3cr3t@bucket/x",
        "s3:AKIA:s3cr3t@bucket/x",
        "https://u:s3#s3cr3t@host/x",
        "https://host/x#s3cr3t",
        "HTTPS://host/x?s3cr3t",
        "https:/host/x?s3cr3t",
        "az://container/x?sv=1&sig=s3cr3t",
        "s3:/AKIA:s3cr3t@bucket/x",
    ):
        assert "s3cr3t" not in public_url(url)
    for url in (
        "s3://AKIA:s3cr3t@bucket/x",
        "s3://AK:a/s3cr3t@bucket",
        "s3:AKIA:s3cr3t@bucket",
        "s3:/AKIA:s3cr3t@bucket",
        "htps://host/x?token=s3cr3t",
        "HTTPS://host/x?s3cr3t",
        "https:/host/x?s3cr3t",
    ):
        with pytest.raises(StoreURLError) as refused:
            FsspecStore.from_url(url)
        assert "s3cr3t" not in str(refused.value)
    for url in ("http://host:8080/a@b", "s3://bucket/a@b", "file:///a:b/c", "memory:///x"):
        assert public_url(url) == url
    shown = public_text('Could not reach "http://u:s3cr3t@host:9/x?sig=s3cr3t" in time')
    assert shown == 'Could not reach "http://***@host:9/x?***" in time'
    for text in ("GET /c/k?sv=1&sig=s3cr3t HTTP/1.1", "url='https://host/it's?s3cr3t'"):
        assert "s3cr3t" not in public_text(text)
    assert public_text("a;AccountKey=s3cr3t==;b=c") == "a;AccountKey=***;b=c"
    web = FsspecStore.from_url("https://user:s3cr3t@host/data?sig=s3cr3t")
    assert repr(web) == "FsspecStore('https://***@host/data?***')"
    assert "s3cr3t" not in str(web)


def test_a_token_that_cannot_be_verified_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    token = "ya29." + "s3cr3t"
    # Newer releases of gcsfs ask Google when it ends, and here nobody answers.
    try:
        said = repr(FsspecStore.from_url("gs://bucket/x", {"token": token}))
    except BackendError as error:
        said = "".join(traceback.format_exception(error))
        assert "cannot open 'gs://bucket/x'" in said
    assert token not in said


def test_a_web_server_cannot_be_written_to() -> None:
    store = FsspecStore.from_url("https://host.invalid/data")
    assert not store.supports_writes
    assert not store.supports_deletes
    for use in WRITES.values():
        with pytest.raises(NotImplementedError, match=r"host\.invalid.*does not support"):
            asyncio.run(_awaited(use, store))


async def _awaited(use: Use, store: FsspecStore) -> None:
    await use(store)


def test_a_protocol_registered_by_the_user_is_known() -> None:
    class Registered(MemoryFileSystem):
        protocol = "registered"

    fsspec.register_implementation("registered", Registered, clobber=True)
    assert type(FsspecStore.from_url("registered://a/b").fs) is Registered
