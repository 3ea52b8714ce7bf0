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
from zarr.codecs import Crc32cCodec, GzipCodec

from fsspec_store import FsspecStore
from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from servers import S3Endpoint

    from fsspec_store import Buffer, BufferPrototype
    from fsspec_store.contract import ByteRequest


@pytest.fixture(params=["memory", "folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A URL with its storage options: each kind of filesystem lists in its own way."""
    if request.param == "bucket":
        endpoint: S3Endpoint = request.getfixturevalue("moto_endpoint")
        return f"s3://{endpoint.make_bucket()}/data", endpoint.storage_options()
    return str(tmp_path / "data") if request.param == "folder" else memory_url(), {}


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


def check_one(url: str) -> script.ArrayReport:
    [array] = check(url).arrays
    return array


def remove(url: str, key: str, options: dict[str, Any] | None = None) -> None:
    asyncio.run(FsspecStore.from_url(url, options).delete(key))


def cut(url: str, key: str, size: int) -> None:
    fs, root = fsspec.url_to_fs(url)
    fs.pipe_file(f"{root}/{key}", fs.cat_file(f"{root}/{key}")[:size])


def check(url: str, **options: Any) -> script.Report:
    return asyncio.run(script.check_dataset(FsspecStore.from_url(url), **options))


def option_arguments(options: dict[str, Any]) -> list[str]:
    return [f"--option={name}={json.dumps(value)}" for name, value in options.items()]


class TestReport:
    def test_of_a_complete_data_set(self, place: tuple[str, dict[str, Any]]) -> None:
        write_group(*place)
        report = asyncio.run(script.check_dataset(FsspecStore.from_url(*place)))
        assert report.complete
        assert [
            (array.path, array.expected, array.present, array.missing, array.damaged)
            for array in report.arrays
        ] == [
            ("model/gzipped", 6, 6, 0, 0),
            ("model/run/sharded", 2, 2, 0, 0),
            ("plain", 6, 6, 0, 0),
        ]
        # Chunks at the edge are as large as the others.
        assert report.arrays[2].bytes == 6 * 4 * 2 * 4
        # Four chunks in the first shard and two in the second, and an index each.
        assert report.arrays[1].bytes == 6 * 4 * 2 * 4 + 2 * (4 * 16 + 4)

    @pytest.mark.parametrize(
        "key", ["plain/c/1/2", "model/gzipped/c/0/0", "model/run/sharded/c/0/1"]
    )
    def test_of_a_missing_chunk(self, place: tuple[str, dict[str, Any]], key: str) -> None:
        write_group(*place)
        store = FsspecStore.from_url(*place)
        assert asyncio.run(script.check_dataset(store)).complete
        remove(place[0], key, place[1])
        report = asyncio.run(script.check_dataset(store))
        assert not report.complete
        assert [array.first_missing for array in report.arrays if array.missing] == [[key]]

    def test_names_the_first_few_of_many(self, memory: str) -> None:
        with ZarrStore.from_url(memory) as store:
            zarr.create_array(store, name=None, shape=(100,), chunks=(1,), dtype="f8")
        [array] = check(memory).arrays
        assert (array.path, array.expected, array.missing) == ("/", 100, 100)
        assert array.first_missing == ["c/0", "c/1", "c/2", "c/3", "c/4"]

    def test_allows_missing_chunks_but_no_damaged_ones(self, memory: str) -> None:
        write_group(memory)
        remove(memory, "plain/c/0/0")
        assert check(memory, allow_missing_chunks=True).complete
        cut(memory, "plain/c/0/1", 5)
        assert not check(memory, allow_missing_chunks=True).complete

    @pytest.mark.parametrize(
        ("options", "size", "message"),
        [
            ({}, 31, "(31 bytes where 32 were expected)"),
            ({}, 0, "(0 bytes where 32 were expected)"),
            ({"compressors": Crc32cCodec()}, 32, "(32 bytes where 36 were expected)"),
            ({"compressors": GzipCodec()}, 0, "(0 bytes)"),
            ({"compressors": "auto"}, 0, "(0 bytes)"),
            ({"shards": (4, 2)}, 19, "(19 bytes)"),
        ],
        ids=str,
    )
    def test_of_a_chunk_that_is_cut_off(
        self, memory: str, options: dict[str, Any], size: int, message: str
    ) -> None:
        write_one(memory, **options)
        assert check_one(memory).damaged == 0
        cut(memory, "a/c/1/0", size)
        array = check_one(memory)
        assert (array.present, array.missing, array.damaged) == (6, 0, 1)
        assert array.first_damaged == [f"a/c/1/0 {message}"]

    def test_of_a_chunk_that_is_too_long(self, tmp_path: Path) -> None:
        with ZarrStore.from_url(tmp_path) as store:
            write(store, None)
        with (tmp_path / "c/0/0").open("ab") as file:
            file.write(b"more")
        [array] = check(str(tmp_path)).arrays
        assert array.first_damaged == ["c/0/0 (36 bytes where 32 were expected)"]

    @pytest.mark.parametrize("separator", ["/", "."])
    @pytest.mark.parametrize("name", ["default", "v2"])
    def test_of_every_chunk_key(self, memory: str, name: str, separator: str) -> None:
        encoding: Any = {"name": name, "separator": separator}
        write_one(memory, chunk_key_encoding=encoding)
        array = check_one(memory)
        assert (array.expected, array.present, array.bytes) == (6, 6, 6 * 32)

    def test_of_arrays_without_axes_or_items(self, memory: str) -> None:
        with ZarrStore.from_url(memory) as store:
            zarr.create_group(store)
            zarr.create_array(store, name="scalar", shape=(), dtype="i4")[...] = 3
            zarr.create_array(store, name="empty", shape=(0, 3), chunks=(1, 1), dtype="i4")
        assert [(array.path, array.expected, array.present) for array in check(memory).arrays] == [
            ("empty", 0, 0),
            ("scalar", 1, 1),
        ]

    def test_of_data_types_that_are_not_read(self, memory: str) -> None:
        write_one(memory)
        fs, root = fsspec.url_to_fs(memory)
        metadata = json.loads(fs.cat_file(f"{root}/a/zarr.json"))
        metadata["data_type"] = "string"
        fs.pipe_file(f"{root}/a/zarr.json", json.dumps(metadata).encode())
        cut(memory, "a/c/0/0", 1)
        assert check_one(memory).damaged == 0
        cut(memory, "a/c/0/0", 0)
        assert check_one(memory).damaged == 1

    def test_of_a_group_whose_metadata_is_lost(self, memory: str) -> None:
        write_group(memory)
        remove(memory, "model/run/sharded/zarr.json")
        report = check(memory)
        assert report.without_metadata == ["model/run/sharded"]
        assert not report.complete

    def test_passes_over_keys_beside_the_nodes(self, place: tuple[str, dict[str, Any]]) -> None:
        write_group(*place)
        fs, root = fsspec.url_to_fs(place[0], **place[1])
        fs.pipe_file(f"{root}/README.md", b"about")
        assert asyncio.run(script.check_dataset(FsspecStore.from_url(*place))).complete

    def test_of_an_empty_group(self, memory: str) -> None:
        with ZarrStore.from_url(memory) as store:
            zarr.create_group(store)
        report = check(memory)
        assert report.complete
        assert report.arrays == []

    def test_asks_nothing_for_a_single_chunk(self, memory: str) -> None:
        write_group(memory)
        store = CountingStore.from_url(memory)
        asyncio.run(script.check_dataset(store))
        assert sorted(store.asked) == [
            "model/gzipped/zarr.json",
            "model/run/sharded/zarr.json",
            "model/run/zarr.json",
            "model/zarr.json",
            "plain/zarr.json",
            "zarr.json",
        ]


class CountingStore(FsspecStore):
    """Notes the keys that single requests are made for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[str] = []

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        self.asked.append(key)
        return await super().get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        key_ranges = list(key_ranges)
        self.asked += [key for key, _ in key_ranges]
        return await super().get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        self.asked.append(key)
        return await super().exists(key)

    async def getsize(self, key: str) -> int:
        self.asked.append(key)
        return await super().getsize(key)


class TestMain:
    def test_prints_a_table(self, memory: str, capsys: pytest.CaptureFixture[str]) -> None:
        write_group(memory)
        assert script.main([memory]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["array", "expected", "present", "missing", "damaged", "bytes"]
        assert lines[3] == "plain                     6        6        0        0    192"
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
            "missing: a/c/0/0",
            "damaged: a/c/0/1 (3 bytes where 32 were expected)",
            "no zarr.json: b",
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
        assert (report["complete"], report["url"]) == (False, memory)
        assert report["arrays"][2] == {
            "path": "plain",
            "expected": 6,
            "present": 5,
            "missing": 1,
            "damaged": 0,
            "bytes": 160,
            "first_missing": ["plain/c/0/0"],
            "first_damaged": [],
        }

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
        assert done.stdout.endswith("\nmissing: plain/c/1/1\nINCOMPLETE\n")


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
        assert "not a zarr v3 data set: it is empty" in self.refused(str(tmp_path))

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
        assert "it has no zarr.json" in self.refused(str(tmp_path))

    def test_metadata_that_is_no_metadata(self, tmp_path: Path) -> None:
        (tmp_path / "zarr.json").write_text("<html>")
        assert "'zarr.json' is not JSON" in self.refused(str(tmp_path))

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
