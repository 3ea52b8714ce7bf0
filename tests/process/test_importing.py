"""What importing the package costs, and what it must not bring along."""

from __future__ import annotations

import subprocess
import sys


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


def test_the_package_is_typed() -> None:
    from importlib.resources import files

    assert files("fsspec_store").joinpath("py.typed").is_file()
