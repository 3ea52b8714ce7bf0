"""Requests per second to a service that responds after 50 ms, by the number of requests at once.

    python benchmarks/far_away.py [--seconds 5] [--milliseconds 50] [--at-once 1 10 32 128]

Starts a server in a process of its own that responds to each request exactly that much later, over
plain HTTP and over TLS. A client that does nothing but send and receive shows what the server can
do. The limit is arithmetic: 128 at once / 0.05 s = 2560 per second. "First" is the first second of
a store, in which it opens connections and raises its limit; "store" is measured afterwards. The
last table is the time in which zarr reads an array, by ``async.concurrency``.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import selectors
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import zarr
from servers.certificates import Certificate, make_certificate

from fsspec_store import FsspecStore
from fsspec_store.zarr import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

CHUNK = 16 * 2**10
CHUNKS = 2000


def _response(value: bytes) -> bytes:
    head = 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: "0123456789abcdef0123456789abcdef"'
    return (head % len(value)).encode() + b"\r\n\r\n" + value


def _metadata() -> bytes:
    """The metadata of an array of zeros."""
    values: dict[str, Any] = {}
    store = zarr.storage.MemoryStore(values)
    zarr.create_array(
        store, shape=(CHUNKS * CHUNK,), chunks=(CHUNK,), dtype="uint8", compressors=None
    )
    value: bytes = values["zarr.json"].to_bytes()
    return value


RESPONSE = _response(bytes(CHUNK))


class _Server(asyncio.Protocol):
    """Responds to each request with the same value, a fixed time later."""

    def __init__(self, delay: float, metadata: bytes) -> None:
        self._delay = delay
        self._metadata = metadata
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        response = self._metadata if b"/zarr.json " in data else RESPONSE
        self._loop.call_later(self._delay, self._transport.write, response)


class _Client(asyncio.Protocol):
    """Sends the next request as soon as a response is complete."""

    def __init__(self, responses: list[float]) -> None:
        self._responses = responses
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if not self._left:
            self._responses.append(time.perf_counter())
            self._send()

    def _send(self) -> None:
        self._left = len(RESPONSE)
        self._transport.write(b"GET /bucket/key HTTP/1.1\r\nHost: localhost\r\n\r\n")


def _precise_loop() -> asyncio.AbstractEventLoop:
    # The timeouts of epoll are whole milliseconds.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _serve(delay: float, certificate: Certificate | None, pipe: Connection) -> None:
    metadata = _response(_metadata())

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        tls = certificate and certificate.server_context()
        server = await loop.create_server(lambda: _Server(delay, metadata), "127.0.0.1", 0, ssl=tls)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)

    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(serve())


@contextmanager
def server(delay: float, certificate: Certificate | None) -> Iterator[int]:
    """A new server. Yields its port."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(delay, certificate, theirs))
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


async def trivial(
    port: int, certificate: Certificate | None, at_once: int, seconds: float
) -> float:
    """Requests per second of the trivial client."""
    loop = asyncio.get_running_loop()
    tls = certificate and certificate.client_context()
    responses: list[float] = []
    made = [
        await loop.create_connection(lambda: _Client(responses), "127.0.0.1", port, ssl=tls)
        for _ in range(at_once)
    ]
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    count = sum(began < each for each in responses)
    rate = count / (time.perf_counter() - began)
    for transport, _ in made:
        transport.abort()
    return rate


async def gets(store: FsspecStore, at_once: int, count: int) -> float:
    """Requests per second of this number of reads."""
    left = iter(range(count))

    async def get() -> None:
        for _ in left:
            assert await store.get("key") is not None

    began = time.perf_counter()
    await asyncio.gather(*[get() for _ in range(at_once)])
    return count / (time.perf_counter() - began)


def options(port: int, certificate: Certificate | None) -> dict[str, Any]:
    """Storage options for the server."""
    client: dict[str, Any] = {"region_name": "us-east-1"}
    if certificate:
        client["verify"] = certificate.file
    return {
        "key": "key",
        "secret": "secret",
        "endpoint_url": f"http{'s' if certificate else ''}://127.0.0.1:{port}",
        "client_kwargs": client,
    }


async def of_store(
    port: int, certificate: Certificate | None, at_once: int, limit: float, seconds: float
) -> list[float]:
    """Requests per second of a new store, and of the same store afterwards."""
    async with FsspecStore.from_url("s3://bucket", options(port, certificate)) as store:
        # The first request reads the description of S3.
        assert await store.get("key") is not None
        rates = [await gets(store, at_once, max(int(limit * each), 1)) for each in (1, seconds)]
        assert store.stats.native == store.stats.requests, store.stats
    return rates


def of_zarr(port: int, certificate: Certificate | None, concurrency: int) -> float:
    """Seconds in which zarr reads the array."""
    with (
        open_store("s3://bucket/array", options(port, certificate), read_only=True) as store,
        zarr.config.set({"async.concurrency": concurrency}),
    ):
        array = zarr.open_array(store, mode="r", zarr_format=3)
        began = time.perf_counter()
        assert not array[:].any()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="Reads of a service that is far away.")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--milliseconds", type=float, default=50)
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 10, 32, 128])
    parser.add_argument("--concurrency", type=int, nargs="+", default=[10, 32, 64, 128])
    given = parser.parse_args()
    delay = given.milliseconds / 1000
    print(f"{'':8}{'at once':>8}{'limit':>8}{'trivial client':>18}{'first':>18}{'store':>18}")
    with TemporaryDirectory() as folder:
        for certificate in (None, make_certificate(Path(folder))):
            for at_once in given.at_once:
                limit = at_once / delay
                line = f"{'TLS' if certificate else 'plain':8}{at_once:8}{limit:8.0f}"
                with server(delay, certificate) as port:
                    rates = [asyncio.run(trivial(port, certificate, at_once, given.seconds))]
                    rates += asyncio.run(of_store(port, certificate, at_once, limit, given.seconds))
                print(line + "".join(f"{r:9.0f} ({r / limit:6.1%})" for r in rates), flush=True)
        print(f"{CHUNKS} chunks by zarr, async.concurrency")
        for certificate in (None, make_certificate(Path(folder))):
            for at_once in given.concurrency:
                with server(delay, certificate) as port:
                    seconds = of_zarr(port, certificate, at_once)
                limit = CHUNKS / at_once * delay
                line = f"{'TLS' if certificate else 'plain':8}{at_once:8}{seconds:9.2f} s"
                print(f"{line}   limit {limit:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
