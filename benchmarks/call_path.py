"""The path of one warm operation through the package: calls, files, and switches between files.

``python -m benchmarks.call_path`` prints a line for each operation on S3 by the native transport;
``--trace get`` prints the calls of one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec_store
from fsspec_store import Buffer, FsspecStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

PACKAGE = str(Path(fsspec_store.__file__).parent)


@dataclass
class CallPath:
    """Python calls of the package's functions, in order."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    _frames: list[FrameType] = field(default_factory=list)

    def record(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call; for ``sys.setprofile``."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        # A coroutine that is resumed is the same call; its frame is kept, so that no other has its
        # identity.
        if all(frame is not other for other in self._frames):
            self._frames.append(frame)
            file = code.co_filename.removeprefix(PACKAGE).lstrip("/")
            self.calls.append((file, code.co_qualname))

    @property
    def files(self) -> set[str]:
        """Files with at least one call."""
        return {file for file, _ in self.calls}

    @property
    def switches(self) -> int:
        """Calls whose file is another one than the file of the call before."""
        files = [file for file, _ in self.calls]
        return sum(before != after for before, after in pairwise(files))


class _Handler(BaseHTTPRequestHandler):
    """One value for every key, and every write is taken."""

    protocol_version = "HTTP/1.1"
    value = bytes(16 * 2**10)

    def _answer(self, body: bytes, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", '"0"')
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer(self.value, len(self.value))

    def do_HEAD(self) -> None:
        self._answer(b"", len(self.value))

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"", 0)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged."""


@contextmanager
def serve() -> Iterator[str]:
    """A server that responds as S3 does, by its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def profiled(operation: Callable[[], Awaitable[object]], warm_ups: int = 5) -> CallPath:
    """The calls of an operation, after a few of the same."""
    for _ in range(warm_ups):
        await operation()
    path = CallPath()
    sys.setprofile(path.record)
    try:
        await operation()
    finally:
        sys.setprofile(None)
    return path


async def _main(trace: str | None) -> None:
    value = Buffer.from_bytes(b"x" * 256)
    with serve() as endpoint:
        options = {"key": "key", "secret": "secret", "endpoint_url": endpoint}
        async with FsspecStore.from_url("s3://bucket/root", options) as store:
            operations: dict[str, Callable[[], Awaitable[object]]] = {
                "get": lambda: store.get("c/0/1"),
                "set": lambda: store.set("c/0/1", value),
                "exists": lambda: store.exists("c/0/1"),
            }
            for name, operation in operations.items():
                path = await profiled(operation)
                print(
                    f"{name}: {len(path.calls)} calls, {len(path.files)} files, "
                    f"{path.switches} switches between files"
                )
                if name == trace:
                    for file, function in path.calls:
                        print(f"    {file}: {function}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", choices=["get", "set", "exists"])
    asyncio.run(_main(parser.parse_args().trace))
