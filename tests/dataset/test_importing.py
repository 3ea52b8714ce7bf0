from __future__ import annotations

import subprocess
import sys

import fsspec_store.dataset


def test_public_names_exist() -> None:
    for name in fsspec_store.dataset.__all__:
        assert hasattr(fsspec_store.dataset, name)


def test_zarr_is_not_imported() -> None:
    program = """
import sys
from fsspec_store import FsspecStore
from fsspec_store.dataset import DatasetError, blocking
store = FsspecStore.from_url("memory://unused")
for deep in (False, True):
    try:
        blocking.check(store, deep=deep)
    except DatasetError:
        print("zarr" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "")


def test_without_zarr_deep_is_an_error_before_the_listing() -> None:
    program = """
import sys
sys.modules["zarr"] = None
from fsspec_store import FsspecStore
from fsspec_store.dataset import blocking
from fsspec_store.errors import MissingExtraError
try:
    blocking.check(FsspecStore.from_url("memory://unused"), deep=True)
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'fsspec-store[zarr]'" in done.stdout, done.stderr
