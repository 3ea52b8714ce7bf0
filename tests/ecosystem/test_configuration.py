"""What fsspec and boto are configured with counts, and URLs mean what they mean to fsspec.

Each configuration is read by a process of its own, which opens a store by nothing but a URL.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import zarr
from servers import AzureEndpoint, GCSEndpoint, HTTPEndpoint, S3Endpoint
from servers.ftp import ftp_server
from servers.s3_endpoint import REGION

from fsspec_store import Buffer
from fsspec_store.errors import AccessDeniedError
from fsspec_store.zarr import open_store

from .places import Place

#: Opens by URL alone or with the options that are its second argument, reads, lists, and writes.
PROGRAM = """
import json, sys
from fsspec_store import Buffer, StoreError
from fsspec_store.zarr import open_store

url, options = json.loads(sys.argv[1])
try:
    with open_store(url, options) as store:
        print(store.sync.get("a").to_bytes().decode(), *sorted(store.sync.list()))
        if store.supports_writes:
            store.sync.set("by/program", Buffer.from_bytes(b"x"))
except StoreError as error:
    print(type(error).__name__, error)
"""

Run = Callable[..., str]

#: An address at which nobody listens.
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def run(place: Place, tmp_path: Path) -> Run:
    """What the program prints, where nothing is configured but what is handed in."""
    place.open().sync.set("a", Buffer.from_bytes(b"found"))
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FSSPEC_", "AWS_", "BOTO"))
    }
    nothing = {
        "FSSPEC_CONFIG_DIR": str(tmp_path / "no-fsspec"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(
        options: dict[str, Any] | None = None,
        url: str = f"{place.url}/data.zarr",
        **environment: str | None,
    ) -> str:
        variables = {**kept, **nothing, **environment}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([url, options])],
            env={name: value for name, value in variables.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.stderr, done.returncode) == ("", 0)
        assert place.options["secret"] not in done.stdout
        return done.stdout.strip()

    return run


@pytest.fixture
def written(place: Place) -> Callable[[], bool]:
    """Whether the program wrote what it was to write."""
    return lambda: place.open().sync.exists("by/program")


def profile(endpoint: S3Endpoint, folder: Path, **more: str) -> dict[str, str]:
    """A profile named ``lab`` beside a default one that leads nowhere; as environment variables."""
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id=wrong\naws_secret_access_key=wrong\n"
        f"[lab]\naws_access_key_id={endpoint.key}\naws_secret_access_key={endpoint.secret}\n"
    )
    (folder / "config").write_text(
        f"[default]\nregion={REGION}\nendpoint_url={NOBODY}\n"
        f"[profile lab]\nregion={REGION}\nendpoint_url={more.get('endpoint_url', endpoint.url)}\n"
    )
    return {
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_CONFIG_FILE": str(folder / "config"),
    }


FOUND = "found a"


@pytest.mark.parametrize("kind", ["json", "ini"])
def test_a_file_of_fsspecs_configuration_is_read(
    place: Place, run: Run, written: Callable[[], bool], tmp_path: Path, kind: str
) -> None:
    options = dict(place.options)
    if kind == "json":
        (tmp_path / "any-name.json").write_text(json.dumps({"s3": options}))
    else:
        # Values of an INI file are text.
        del options["client_kwargs"]
        lines = [f"{name}={value}" for name, value in options.items()]
        (tmp_path / "any-name.ini").write_text("\n".join(["[s3]", *lines]))
    found = run(FSSPEC_CONFIG_DIR=str(tmp_path), AWS_DEFAULT_REGION=REGION)
    assert found == FOUND
    assert written()


def test_fsspecs_files_are_found_below_home(place: Place, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "fsspec"
    folder.mkdir(parents=True)
    (folder / "conf.json").write_text(json.dumps({"s3": place.options}))
    assert run(FSSPEC_CONFIG_DIR=None, HOME=str(tmp_path)) == FOUND


def test_fsspecs_environment_variables_are_read(
    place: Place, run: Run, written: Callable[[], bool]
) -> None:
    # All in one as JSON, and one by one, which counts for more.
    options = {**place.options, "endpoint_url": NOBODY}
    found = run(FSSPEC_S3=json.dumps(options), FSSPEC_S3_ENDPOINT_URL=place.options["endpoint_url"])
    assert found == FOUND
    assert written()


def test_options_that_are_given_win(
    place: Place, run: Run, written: Callable[[], bool], tmp_path: Path
) -> None:
    wrong = {"key": "wrong", "secret": "wrong", "endpoint_url": NOBODY}
    (tmp_path / "conf.json").write_text(json.dumps({"s3": wrong}))
    nowhere = profile(
        S3Endpoint("", NOBODY, key="wrong", secret="wrong", enforces_credentials=True), tmp_path
    )
    environment = {
        "FSSPEC_CONFIG_DIR": str(tmp_path),
        "FSSPEC_S3": json.dumps(wrong),
        "AWS_ENDPOINT_URL": NOBODY,
        "AWS_PROFILE": "lab",
        **nowhere,
    }
    assert run(place.options, **environment) == FOUND
    assert written()


def test_configuration_and_options_are_put_together(place: Place, run: Run) -> None:
    options = dict(place.options)
    secret = options.pop("secret")
    assert run(options, FSSPEC_S3_SECRET=secret) == FOUND


def test_a_profile_has_credentials_and_endpoint(
    seaweedfs_endpoint: S3Endpoint, run: Run, written: Callable[[], bool], tmp_path: Path
) -> None:
    environment = profile(seaweedfs_endpoint, tmp_path)
    assert run(AWS_PROFILE="lab", **environment) == FOUND
    assert written()


def test_a_profile_by_configuration_of_fsspec(
    seaweedfs_endpoint: S3Endpoint, run: Run, tmp_path: Path
) -> None:
    environment = profile(seaweedfs_endpoint, tmp_path)
    assert run(FSSPEC_S3='{"profile": "lab"}', **environment) == FOUND


def test_a_profile_by_option(seaweedfs_endpoint: S3Endpoint, run: Run, tmp_path: Path) -> None:
    environment = profile(seaweedfs_endpoint, tmp_path)
    assert run({"profile": "lab"}, **environment) == FOUND


def test_the_environments_endpoint_counts_more_than_the_profiles(
    seaweedfs_endpoint: S3Endpoint, run: Run, tmp_path: Path
) -> None:
    environment = profile(seaweedfs_endpoint, tmp_path, endpoint_url=NOBODY)
    found = run(AWS_PROFILE="lab", AWS_ENDPOINT_URL=seaweedfs_endpoint.url, **environment)
    assert found == FOUND


def test_a_wrong_option_in_the_configuration_is_named_and_shows_no_value(
    place: Place, run: Run
) -> None:
    found = run(FSSPEC_S3=json.dumps({**place.options, "nonsense": place.options["secret"]}))
    assert found.startswith("StorageOptionError")
    assert "nonsense" in found


@pytest.fixture(params=["http", "gs", "abfs"])
def elsewhere(request: pytest.FixtureRequest) -> Place:
    """A place on another service, with a value in it."""
    if request.param == "http":
        web: HTTPEndpoint = request.getfixturevalue("nginx_endpoint")
        (web.folder / "configured").mkdir()
        (web.folder / "configured" / "a").write_bytes(b"found")
        return Place(f"{web.protected_url}/configured", web.storage_options())
    if request.param == "gs":
        google: GCSEndpoint = request.getfixturevalue("fake_gcs_endpoint")
        found = Place(f"gs://{google.make_bucket()}/configured", google.storage_options())
    else:
        azure: AzureEndpoint = request.getfixturevalue("azurite_endpoint")
        found = Place(f"abfs://{azure.make_container()}/configured", azure.storage_options())
    with open_store(found.url, found.options) as store:
        store.sync.set("a", Buffer.from_bytes(b"found"))
    return found


def test_other_services_are_configured_as_well(run: Run, elsewhere: Place) -> None:
    protocol = elsewhere.url.partition("://")[0]
    environment = {f"FSSPEC_{protocol.upper()}": json.dumps(elsewhere.options)}
    assert run(url=elsewhere.url, **environment) == FOUND


# -- URLs ------------------------------------------------------------------------------------------

DATA = np.arange(200, dtype="i4").reshape(10, 20)


def check(store: Any) -> None:
    with store:
        np.testing.assert_array_equal(zarr.open_array(store=store, mode="r")[2:, 3:], DATA[2:, 3:])


@pytest.mark.parametrize("layer", ["simplecache", "filecache"])
def test_a_chain_of_a_cache_and_a_bucket(place: Place, tmp_path: Path, layer: str) -> None:
    zarr.create_array(store=place.open(), data=DATA, chunks=(5, 5))
    options = {"s3": place.options, layer: {"cache_storage": str(tmp_path)}}
    url = f"{layer}::{place.url}/data.zarr"
    check(open_store(url, options, read_only=True))
    assert list(tmp_path.iterdir())
    # What was copied is read from its copy, which is what such a layer is for.
    place.open().sync.delete("c/1/1")
    check(open_store(url, options, read_only=True))
    assert not zarr.open_array(store=place.open(), mode="r")[5:, 5:10].any()


def test_an_archive_in_a_bucket(place: Place, tmp_path: Path) -> None:
    zarr.create_array(store=open_store(tmp_path / "x.zarr"), data=DATA, chunks=(5, 5))
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "x.zarr").rglob("*")):
            archive.write(file, file.relative_to(tmp_path))
    bucket = place.open("archives")
    bucket.sync.set("a.zip", Buffer.from_bytes((tmp_path / "a.zip").read_bytes()))
    store = open_store(f"zip://x.zarr::{place.url}/archives/a.zip", {"s3": place.options})
    assert not store.supports_writes
    check(store)


def test_a_user_and_a_password_in_the_url_of_a_web_server(nginx_endpoint: HTTPEndpoint) -> None:
    folder = nginx_endpoint.folder / "by-user.zarr"
    zarr.create_array(store=open_store(folder), data=DATA, chunks=(5, 5))
    host = nginx_endpoint.protected_url.removeprefix("http://")
    stranger = open_store(f"http://{host}/by-user.zarr", read_only=True)
    with stranger, pytest.raises(AccessDeniedError):
        stranger.sync.get("zarr.json")
    user = f"{nginx_endpoint.user}:{nginx_endpoint.password}"
    store = open_store(f"http://{user}@{host}/by-user.zarr", read_only=True)
    assert nginx_endpoint.password not in f"{store!r} {store} {store.url}"
    check(store)


def test_a_user_and_a_password_in_the_url_of_an_ftp_server() -> None:
    with ftp_server() as server:
        options = server.storage_options()
        host = f"{options['host']}:{options['port']}"
        url = f"ftp://{options['username']}:{options['password']}@{host}/data.zarr"
        with open_store(url) as store:
            zarr.create_array(store=store, data=DATA, chunks=(5, 20))
            assert options["password"] not in f"{store!r} {store} {store.url}"
        assert (server.folder / "data.zarr" / "zarr.json").is_file()
        check(open_store(url, read_only=True))
