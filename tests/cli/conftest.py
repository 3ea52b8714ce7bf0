"""Data sets and servers of the tests of the command."""

from __future__ import annotations

import json
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


@pytest.fixture(scope="package")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with processes(tmp_path_factory.mktemp("work")) as started:
        yield started


#: The metadata of an array with one chunk, whose key is "0".
ARRAY = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [1],
    "data_type": "int8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
    "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
    "fill_value": 0,
    "codecs": [{"name": "bytes"}],
}
_DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Holding(ThreadingHTTPServer):
    """A web server: under /denied it responds 403, under /broken 400, under /missing 404.

    /missing has the value "good" nevertheless. The 403 of a listing of the bucket "denied" is that
    of S3.

    /mixed/ has the values "good", and "bad" whose GET is 400. /slow/ has "good", and "held" whose
    GET gets no response. /array/ is a zarr array whose only chunk is held, with a stray key. Nor
    does any other request get a response.
    """

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

    def do_HEAD(self) -> None:
        if self.path.endswith(("/good", "/bad", "/held", "/array/0", "/array/stray")):
            self._send(b"?")
        else:
            self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/missing/good":
            self._send(b"x")
            return
        for name, status in (("/denied", 403), ("/broken", 400), ("/missing", 404)):
            if self.path.startswith(name):
                if status == 403 and "list-type=" in self.path:
                    self._send(_DENIED, "application/xml", status)
                else:
                    self.send_error(status)
                return
        if self.path.startswith("/mixed/none"):
            self.send_error(404)
            return
        folder, _, name = self.path.rpartition("/")
        if folder == "/array" and name in ("", "zarr.json"):
            if name:
                self._send(json.dumps(ARRAY).encode())
            else:
                links = [f"<a href={name}>{name}</a>" for name in ("zarr.json", "0", "stray")]
                self._send("<pre>{}</pre>".format("\n".join(links)).encode(), "text/html")
            return
        if folder in ("/mixed", "/slow") and name in ("", "good", "bad"):
            other = "bad" if folder == "/mixed" else "held"
            page = f"<pre><a href=good>good</a>\n<a href={other}>{other}</a></pre>"
            if name == "bad":
                self.send_error(400)
            elif name == "good":
                self._send(b"x")
            else:
                self._send(page.encode(), "text/html")
            return
        self.server.is_held.set()
        self.server.released.wait()

    def _send(self, body: bytes, kind: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

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
