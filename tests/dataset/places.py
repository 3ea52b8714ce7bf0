"""Data sets that zarr writes, and how they are damaged."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import numpy as np
import zarr

from fsspec_store.dataset import Finding, Report, blocking
from fsspec_store.zarr import ZarrBuffer, ZarrStore, open_store


def new_store() -> ZarrStore:
    return open_store(f"memory://{uuid4().hex}/data")


def write_array(store: ZarrStore, name: str | None = "a", **options: Any) -> Any:
    """An array of 7 x 5 items, none of them the fill value, in 2 x 3 chunks."""
    options = {"chunks": (4, 2), "dtype": "int32", "compressors": None, **options}
    array = zarr.create_array(store, name=name, shape=(7, 5), **options)
    array[...] = np.arange(1, 36).reshape(7, 5).astype(array.dtype)
    return array


def one_array(**options: Any) -> ZarrStore:
    """A group with the array ``a``."""
    store = new_store()
    zarr.create_group(store, zarr_format=options.get("zarr_format", 3))
    write_array(store, **options)
    return store


def put(store: ZarrStore, key: str, content: bytes) -> None:
    store.sync.set(key, ZarrBuffer.from_bytes(content))


def value(store: ZarrStore, key: str) -> bytes:
    found = store.sync.get(key)
    assert found is not None, key
    return found.to_bytes()


def document(store: ZarrStore, key: str) -> dict[str, Any]:
    return json.loads(value(store, key))


def change(store: ZarrStore, key: str, **fields: Any) -> None:
    """Replace fields of a document."""
    put(store, key, json.dumps({**document(store, key), **fields}).encode())


def found(report: Report) -> dict[tuple[str, str], int]:
    """The count of each kind and path."""
    return {(finding.kind, finding.path): finding.count for finding in report.findings}


def only(report: Report) -> Finding:
    [finding] = report.findings
    return finding


def check(store: ZarrStore, **options: Any) -> Report:
    return blocking.check(store, **options)
