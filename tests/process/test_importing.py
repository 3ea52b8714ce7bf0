"""The time to import the package, and the modules that it must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_importing_brings_no_optional_library_along() -> None:
    program = """
import fsspec_store, sys
heavy = {"zarr", "s3fs", "gcsfs", "adlfs", "aiohttp", "botocore", "aiobotocore", "dask", "typer"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(program) == "[]"


def test_opening_a_folder_brings_no_service_along() -> None:
    program = """
import fsspec_store, sys
fsspec_store.FsspecStore.from_url("/tmp")
print(sorted({"zarr", "s3fs", "aiohttp", "botocore"} & set(sys.modules)))
"""
    assert run(program) == "[]"


def test_files_are_read_and_written_where_there_is_no_flock(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["fcntl"] = None
from fsspec_store import Buffer, FsspecStore
from fsspec_store.errors import UnsupportedOperationError
store = FsspecStore.from_url({str(tmp_path)!r}).sync
store.set("a", Buffer.from_bytes(b"1"))
found = store.get_version("a")
try:
    store.set("a", Buffer.from_bytes(b"2"), if_match=found.version)
except UnsupportedOperationError as error:
    print(str(error).rpartition(": ")[2], store.get("a").to_bytes())
"""
    assert run(program) == "this platform has no locks on folders b'1'"


def test_importing_loads_little_beyond_fsspec_and_numpy() -> None:
    program = """
import sys, fsspec, fsspec.asyn, fsspec.core, fsspec.registry, numpy, asyncio, concurrent.futures
before = set(sys.modules)
import fsspec_store
print(*sorted(set(sys.modules) - before))
"""
    new = run(program).split()
    foreign = [name for name in new if not name.startswith("fsspec_store")]
    # Modules of the standard library only, and few: time itself is not asserted on.
    assert all(name.partition(".")[0] in sys.stdlib_module_names for name in foreign)
    assert len(foreign) < 20


def test_a_store_that_was_made_imports_nothing_more(tmp_path: Path) -> None:
    # A module that one thread imports during a fork can never be imported in the child.
    program = f"""
import asyncio, sys
from fsspec_store import Buffer, FsspecStore, StoreError

closed = "http://localhost:9"
azure = f"AccountName=a;AccountKey=YWFhYQ==;BlobEndpoint={{closed}}/a;"
places = [
    ({str(tmp_path)!r}, {{}}),
    ("memory://used", {{}}),
    (closed, {{}}),
    ("s3://bucket", {{"key": "k", "secret": "s", "endpoint_url": closed}}),
    ("gs://bucket", {{"token": "anon", "endpoint_url": closed}}),
    ("az://container", {{"connection_string": azure}}),
    ("simplecache::memory://used", {{}}),
]

async def use(store):
    value = Buffer.from_bytes(b"value")
    for work in (
        store.set("a", value),
        store.get("a"),
        store.exists("a"),
        store.get_version("a"),
        store.set_if_not_exists("b", value),
        store.set_partial_values([("a", 0, b"x")]),
        store.get_partial_values(None, [("a", None)]),
        store.is_empty(""),
        store.delete_dir("a"),
    ):
        try:
            await work
        except StoreError:
            pass

for url, options in places:
    store = FsspecStore.from_url(url, options, retries=0)
    made = set(sys.modules)
    asyncio.run(use(store))
    try:
        store.sync.get("a")
    except StoreError:
        pass
    store.close()
    print(url, sorted(set(sys.modules) - made))
"""
    assert [line.split(maxsplit=1)[1] for line in run(program).splitlines()] == ["[]"] * 7


def test_the_package_is_typed() -> None:
    from importlib.resources import files

    assert files("fsspec_store").joinpath("py.typed").is_file()


def test_public_names_are_at_the_top_level_or_in_one_of_two_modules() -> None:
    program = """
import fsspec_store, fsspec_store.contract, fsspec_store.errors
modules = (fsspec_store, fsspec_store.contract, fsspec_store.errors)
print(len(set(fsspec_store.__all__) - {"__version__"}))
print(*(name for module in modules for name in module.__all__ if not hasattr(module, name)))
print(set(fsspec_store.__all__) & set(fsspec_store.errors.__all__))
print({"contract", "errors"} <= set(dir(fsspec_store)), "_store" in dir(fsspec_store))
"""
    assert run(program).splitlines() == ["10", "", "{'StoreError'}", "True False"]
