"""The options of a place on MinIO, Azurite and fake-gcs-server, as source and as target."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import S3Endpoint
from servers.azurite import AzureEndpoint
from servers.fake_gcs import GCSEndpoint

from cli.conftest import SIZES
from cli.running import Processes, run


@pytest.fixture
def on_s3(minio_endpoint: S3Endpoint) -> str:
    return f"s3://{minio_endpoint.make_bucket()}/climate.zarr"


@pytest.fixture
def on_azure(azurite_endpoint: AzureEndpoint) -> str:
    return f"az://{azurite_endpoint.make_container()}/climate.zarr"


@pytest.fixture
def on_google(fake_gcs_endpoint: GCSEndpoint) -> str:
    return f"gs://{fake_gcs_endpoint.make_bucket()}/climate.zarr"


def test_each_place_has_options_of_its_own(
    data: Path,
    on_s3: str,
    on_azure: str,
    minio_endpoint: S3Endpoint,
    azurite_endpoint: AzureEndpoint,
) -> None:
    to_s3 = [
        *("--dst-option", f"key={minio_endpoint.key}"),
        *("--dst-option", f"secret={minio_endpoint.secret}"),
        *("--dst-endpoint-url", minio_endpoint.url),
    ]
    from_s3 = [word.replace("--dst", "--src") for word in to_s3]
    to_azure = ["--dst-option", f"connection_string={azurite_endpoint.connection_string}"]
    assert run("sync", *to_s3, data, on_s3).code == 0
    copied = run("cp", "--json", *from_s3, *to_azure, on_s3, on_azure)
    assert (copied.code, copied.documents[0]["copied"]) == (0, len(SIZES)), copied.err
    from_azure = [word.replace("--dst", "--src") for word in to_azure]
    assert run("verify", *from_azure, on_azure, data).code == 0
    denied = run(
        "cp", *from_s3, "--dst-anon", "--dst-endpoint-url", minio_endpoint.url, on_s3, on_s3
    )
    assert denied.code == 4, denied.err
    assert minio_endpoint.secret not in denied.err


def test_the_commands_on_azure(data: Path, on_azure: str, azurite_endpoint: AzureEndpoint) -> None:
    secret = azurite_endpoint.connection_string
    option = ["-o", f"connection_string={secret}"]
    assert run("cp", "--dst-option", option[1], data, on_azure).code == 0
    sizes = {
        each["key"]: each["size"] for each in run("ls", "-r", "--json", *option, on_azure).documents
    }
    assert sizes == SIZES
    [found] = run("stat", "--json", *option, f"{on_azure}/zarr.json").documents
    assert found["size"] == SIZES["zarr.json"]
    assert found["version"].startswith('"')
    assert list(found["checksums"]) == ["md5"]
    [found] = run("info", "--json", "--probe", *option, on_azure).documents
    assert found["atomic_create"] is found["compare_and_swap"] is found["lists_in_order"] is True
    assert found["most_parts"] == 50_000
    for refused in (["--endpoint-url", azurite_endpoint.url], ["--profile", "p"]):
        ended = run("ls", *refused, on_azure)
        assert ended.code == 2
        assert "--option connection_string=" in ended.err
    wrong = secret.replace("AccountKey=", "AccountKey=AAAA")
    for flags in ([], ["-v"]):
        ended = run("ls", *flags, "-o", f"connection_string={wrong}", on_azure)
        assert (ended.code, ended.out) == (4, ""), ended.err
        assert wrong.partition("AccountKey=")[2][:40] not in ended.err
    ended = run("rm", "-r", "--yes", "--json", *option, on_azure)
    assert (ended.code, ended.documents[0]["deleted"]) == (0, len(SIZES))


def test_the_commands_on_google_without_credentials(
    data: Path, on_google: str, fake_gcs_endpoint: GCSEndpoint
) -> None:
    options = ["--anon", "--endpoint-url", fake_gcs_endpoint.url]
    target = [word.replace("--", "--dst-") for word in options]
    assert run("cp", *target, data, on_google).code == 0
    assert run("ls", "-l", *options, f"{on_google}/air").out == "-\tc/\n20B\tzarr.json\n"
    [found] = run("stat", "--json", *options, f"{on_google}/zarr.json").documents
    assert (found["size"], found["version"].isdecimal()) == (SIZES["zarr.json"], True)
    assert set(found["checksums"]) == {"md5", "crc32c"}
    [found] = run("info", "--json", *options, on_google).documents
    assert (found["versions"], found["listed_checksums"]) == ("generation", ["md5", "crc32c"])
    assert found["service"].endswith(f" at {fake_gcs_endpoint.url}")
    refused = run("ls", "--profile", "p", on_google)
    assert (refused.code, "--option token=FILE" in refused.err) == (2, True)
    ended = run("rm", "-r", "--yes", "--json", *options, on_google)
    assert (ended.code, ended.documents[0]["deleted"]) == (0, len(SIZES))


def test_credentials_of_the_environment_on_azure(
    data: Path, on_azure: str, azurite_endpoint: AzureEndpoint, command: Processes
) -> None:
    environment = {"AZURE_STORAGE_CONNECTION_STRING": azurite_endpoint.connection_string}
    assert command.run("cp", data, on_azure, environment=environment).code == 0
    ended = command.run("du", "-d0", "--bytes", on_azure, environment=environment)
    assert (ended.code, ended.out) == (0, f"{sum(SIZES.values())}\t5\t.\n"), ended.err
