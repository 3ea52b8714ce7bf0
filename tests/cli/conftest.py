"""Data sets and servers of the tests of the command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.running import Processes, processes

#: Keys and sizes of the data set.
SIZES = {
    "air/c/0/0": 2048,
    "air/c/0/1": 1024,
    "air/zarr.json": 20,
    "air-2/zarr.json": 30,
    "zarr.json": 16,
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of a few keys, whose bytes count from 0."""
    root = tmp_path / "climate.zarr"
    for key, size in SIZES.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(number % 256 for number in range(size)))
    return root


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with processes(tmp_path_factory.mktemp("work")) as started:
        yield started


class Holding(ThreadingHTTPServer):
    """A web server: under /denied it responds 403, under /broken 400, elsewhere never."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        #: Set by a request that gets no response.
        self.is_held = threading.Event()
        self.released = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: Holding

    def do_GET(self) -> None:
        for name, status in (("/denied", 403), ("/broken", 400)):
            if self.path.startswith(name):
                self.send_error(status)
                return
        self.server.is_held.set()
        self.server.released.wait()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Holding]:
    with Holding() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
