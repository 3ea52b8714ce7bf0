from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import check_dataset as script
import fsspec
import numpy as np
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from zarr.codecs import GzipCodec

from fsspec_store import FsspecStore
from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from servers import S3Endpoint


@pytest.fixture
def memory() -> str:
    return memory_url()


def memory_url() -> str:
    return f"memory:///{uuid4().hex}/data"


def write(store: ZarrStore, name: str | None = "a", **options: Any) -> None:
    """An array of 7 x 5 items, none of them the fill value."""
    options = {"chunks": (4, 2), "dtype": "int32", "compressors": None, **options}
    array = zarr.create_array(store, name=name, shape=(7, 5), **options)
    array[...] = np.arange(1, 36).reshape(7, 5)


def write_group(url: str, options: dict[str, Any] | None = None) -> None:
    with ZarrStore.from_url(url, options) as store:
        zarr.create_group(store)
        write(store, "plain")
        write(store, "model/gzipped", compressors=GzipCodec())
        write(store, "model/run/sharded", shards=(8, 4))


def write_one(url: str, **options: Any) -> None:
    with ZarrStore.from_url(url) as store:
        zarr.create_group(store)
        write(store, **options)


def remove(url: str, key: str, options: dict[str, Any] | None = None) -> None:
    asyncio.run(FsspecStore.from_url(url, options).delete(key))


def cut(url: str, key: str, size: int) -> None:
    fs, root = fsspec.url_to_fs(url)
    fs.pipe_file(f"{root}/{key}", fs.cat_file(f"{root}/{key}")[:size])


def option_arguments(options: dict[str, Any]) -> list[str]:
    return [f"--option={name}={json.dumps(value)}" for name, value in options.items()]


class TestMain:
    def test_prints_a_table(self, memory: str, capsys: pytest.CaptureFixture[str]) -> None:
        write_group(memory)
        assert script.main([memory]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["path", "chunks", "present", "missing", "broken", "bytes"]
        assert lines[3] == "plain                   6        6        0       0    192"
        assert lines[-1] == "complete"
        assert len({len(line) for line in lines[:-1]}) == 1

    def test_prints_what_is_wrong(self, memory: str, capsys: pytest.CaptureFixture[str]) -> None:
        with ZarrStore.from_url(memory) as store:
            zarr.create_group(store)
            write(store)
            zarr.create_array(store, name="b", shape=(1234,), chunks=(1,), dtype="f8")
        remove(memory, "a/c/0/0")
        cut(memory, "a/c/0/1", 3)
        remove(memory, "b/zarr.json")
        fsspec.filesystem("memory").pipe_file(f"{memory[9:]}/b/c/0", b"left")
        assert script.main([memory]) == 1
        assert capsys.readouterr().out.splitlines()[2:] == [
            "no metadata: b (keys without metadata)",
            "chunk size: a/c/0/1 (3 bytes, 32 expected)",
            "missing chunk: a/c/0/0",
            "INCOMPLETE",
        ]

    def test_does_not_guess_sizes(
        self, memory: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listing = FsspecStore.list_sizes

        async def keys_alone(
            self: FsspecStore, prefix: str = ""
        ) -> AsyncIterator[tuple[str, int | None]]:
            async for key, _ in listing(self, prefix):
                yield key, None

        write_one(memory)
        monkeypatch.setattr(FsspecStore, "list_sizes", keys_alone)
        assert script.main([memory]) == 0
        assert capsys.readouterr().out.splitlines()[1].split() == ["a", "6", "6", "0", "0", "?"]

    def test_counts_what_it_does_not_name(
        self, memory: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with ZarrStore.from_url(memory) as store:
            zarr.create_array(store, name=None, shape=(1234,), chunks=(1,), dtype="f8")
        assert script.main([memory]) == 1
        assert "... and 1,229 more in /\n" in capsys.readouterr().out
        assert script.main([memory, "--allow-missing-chunks"]) == 0

    def test_prints_json(self, memory: str, capsys: pytest.CaptureFixture[str]) -> None:
        write_group(memory)
        remove(memory, "plain/c/0/0")
        assert script.main([memory, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert (report["ok"], report["url"]) == (False, memory)
        counts = {"path": "plain", "chunks": 6, "present": 5, "missing": 1, "broken": 0}
        assert report["arrays"][2].items() >= {**counts, "bytes": 160}.items()
        assert report["findings"][0]["examples"] == [{"key": "plain/c/0/0", "reason": ""}]

    def test_opens_a_bucket_with_options(
        self, moto_endpoint: S3Endpoint, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = f"s3://{moto_endpoint.make_bucket()}/data"
        write_group(url, moto_endpoint.storage_options())
        assert script.main([url, *option_arguments(moto_endpoint.storage_options())]) == 0
        assert capsys.readouterr().out.endswith("\ncomplete\n")

    def test_runs_as_a_script(self, tmp_path: Path) -> None:
        write_group(str(tmp_path))
        (tmp_path / "plain/c/1/1").unlink()
        done = subprocess.run(
            [sys.executable, Path(script.__file__), str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.endswith("\nmissing chunk: plain/c/1/1\nINCOMPLETE\n")


class UnreadableFileSystem(MemoryFileSystem):
    """Whose values nobody may read."""

    protocol = "unreadable"

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        raise PermissionError(f"not for you:\n{path}")


class UnlistableFileSystem(MemoryFileSystem):
    """Whose values may be read by those who know their names."""

    protocol = "unlistable"

    def ls(self, path: str, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(f"not for you:\n{path}")


@pytest.fixture(params=[UnreadableFileSystem, UnlistableFileSystem])
def forbidden(request: pytest.FixtureRequest) -> Iterator[str]:
    cls = request.param
    fsspec.register_implementation(cls.protocol, f"{__name__}.{cls.__name__}")
    yield cls.protocol
    del known_implementations[cls.protocol]


class TestCannotBeRead:
    @pytest.fixture(autouse=True)
    def _captured(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def refused(self, *arguments: str) -> str:
        """The error, printed as one line and with exit code 2."""
        assert script.main(arguments) == 2
        printed = self.capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
        return printed.err

    def test_a_bad_url(self) -> None:
        assert "unknown protocol 's4'" in self.refused("s4://bucket")

    def test_a_storage_option_that_does_not_fit(self) -> None:
        assert "kye" in self.refused("s3://bucket", "--option", "kye=value")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert "is not a zarr data set: it is empty" in self.refused(str(tmp_path))

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("about")
        assert "it has no zarr.json" in self.refused(str(tmp_path))

    def test_metadata_that_is_no_metadata(self, tmp_path: Path) -> None:
        (tmp_path / "zarr.json").write_text("<html>")
        assert "cannot read 'zarr.json': not JSON" in self.refused(str(tmp_path))

    def test_a_chunk_grid_that_is_not_regular(self, memory: str) -> None:
        with ZarrStore.from_url(memory) as store:
            write(store, None)
        fs, root = fsspec.url_to_fs(memory)
        metadata = json.loads(fs.cat_file(f"{root}/zarr.json"))
        metadata["chunk_grid"]["name"] = "rectilinear"
        fs.pipe_file(f"{root}/zarr.json", json.dumps(metadata).encode())
        assert "chunk grid 'rectilinear'" in self.refused(memory)

    def test_a_bucket_that_does_not_exist(self, moto_endpoint: S3Endpoint) -> None:
        options = option_arguments(moto_endpoint.storage_options())
        assert "no such bucket" in self.refused(f"s3://missing-{uuid4().hex}/data", *options)

    def test_a_bucket_that_is_not_ours(self, seaweedfs_endpoint: S3Endpoint) -> None:
        bucket = seaweedfs_endpoint.make_bucket()
        options = {**seaweedfs_endpoint.storage_options(), "secret": "wrong"}
        assert "access denied" in self.refused(f"s3://{bucket}/data", *option_arguments(options))

    @pytest.mark.parametrize("name", [None, "a"], ids=["array", "group"])
    def test_a_filesystem_that_refuses(self, memory: str, forbidden: str, name: str | None) -> None:
        with ZarrStore.from_url(memory) as store:
            if name:
                zarr.create_group(store)
            write(store, name)
        error = self.refused(memory.replace("memory", forbidden))
        assert "access denied" in error or "cannot list '/'" in error
