"""The codec pipeline of the package `zarrs`, written in Rust, which opens a place by itself.

It recognises zarr's LocalStore, ObjectStore and (over HTTP) FsspecStore by the names of their
classes, and does not call them. It must leave this store alone, or its options would not hold.
"""

from __future__ import annotations

import functools
import http.server
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
import zarr.storage

from fsspec_store.zarr import ZarrStore, open_store

pytest.importorskip("zarrs", reason="the package zarrs is not installed: pip install zarrs")

DATA = np.arange(2400, dtype="f4").reshape(40, 60)
SETTINGS = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
HEADERS = {"X-API-Key": "letmein"}


@pytest.fixture(params=[False, True], ids=["", "strict"])
def rust(request: pytest.FixtureRequest) -> Iterator[None]:
    with zarr.config.set(SETTINGS | {"codec_pipeline.strict": request.param}):
        yield


def write(store: Any) -> None:
    root = zarr.create_group(store=store)
    root.create_array("plain", shape=DATA.shape, dtype="f4", chunks=(10, 10))
    root.create_array("sharded", shape=DATA.shape, dtype="f4", chunks=(10, 10), shards=(20, 20))
    for name in ("plain", "sharded"):
        root[name][:] = DATA


def check(store: Any, pipeline: str) -> None:
    for name in ("plain", "sharded"):
        array = zarr.open_array(store, path=name, mode="r")
        assert type(array.async_array.codec_pipeline).__name__ == pipeline
        np.testing.assert_array_equal(array[:], DATA)
        np.testing.assert_array_equal(array[3:27, 5:6], DATA[3:27, 5:6])


@pytest.mark.usefixtures("rust")
def test_this_store_is_read_and_written_by_zarrs_default_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_store("memory://zarrs") as memory:
            write(memory)
            check(memory, "BatchedCodecPipeline")
            memory.sync.clear()
        write(open_store(tmp_path))
        check(open_store(tmp_path, read_only=True), "BatchedCodecPipeline")


@pytest.mark.usefixtures("rust")
def test_both_pipelines_read_what_the_other_wrote(tmp_path: Path) -> None:
    write(zarr.storage.LocalStore(tmp_path / "rust"))
    check(open_store(tmp_path / "rust"), "BatchedCodecPipeline")
    write(open_store(tmp_path / "python"))
    check(zarr.storage.LocalStore(tmp_path / "python"), "ZarrsCodecPipeline")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A web server that serves a folder to whoever sends the key."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("X-API-Key") == HEADERS["X-API-Key"]:
                super().do_GET()
            else:
                self.send_error(403)

        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/data.zarr"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("rust")
def test_a_web_server_is_read_with_the_headers_of_the_store(guarded: str, tmp_path: Path) -> None:
    write(open_store(tmp_path / "data.zarr"))
    with ZarrStore.from_url(guarded, {"headers": HEADERS}, read_only=True) as store:
        check(store, "BatchedCodecPipeline")
