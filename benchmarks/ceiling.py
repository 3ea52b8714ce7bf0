"""What one process can reach at most on this machine, and what limits it.

    python -m benchmarks.ceiling

Prints the speed of one core at the steps of a large read or write, without any library: decryption,
copies, checksums. Then threads with blocking sockets read values of 4 MiB from the benchmarks' own
server into memory that is used again: `recv_into` and OpenSSL release the GIL. The server has half
of the cores, and the client may use all.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import ssl
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.places import S3Endpoint, place_on
from benchmarks.scale import LARGE, MIB
from fsspec_store._backends.checksums import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.certificates import Certificate

    from benchmarks.places import Place

_THREADS = (1, 2, 4)
_RECORD = 16 * 1024


@dataclass(frozen=True)
class Measured:
    """Reads or steps of 4 MiB each."""

    name: str
    seconds: float
    cpu_seconds: float
    count: int

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "mib_per_second": round(self.count * LARGE / MIB / self.seconds),
            "cpu_ms_each": round(self.cpu_seconds * 1000 / self.count, 2),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceiling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    given = parser.parse_args()
    print(f"{'':45}{'MiB/s':>10}{'CPU ms each 4 MiB':>22}")
    rows = []
    for found in _measured(given.seconds):
        row = found.as_plain()
        print(f"{row['name']:45}{row['mib_per_second']:10,}{row['cpu_ms_each']:22.2f}", flush=True)
        rows.append(row)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


def _measured(seconds: float) -> Iterator[Measured]:
    for name, step in _steps().items():
        yield Measured(name, *_repeated(step, seconds))
    for plain in (False, True):
        with place_on("cheap", plain=plain) as place:
            if place.certificate is not None:
                found = _decrypted(place.certificate, seconds)
                yield Measured("TLS, decryption in memory", *found)
            for threads in _THREADS:
                name = f"{'plain' if plain else 'TLS'}, recv_into in {threads} threads"
                yield Measured(name, *_read(place, threads, seconds))


def _steps() -> dict[str, Callable[[], object]]:
    """Steps of 4 MiB each."""
    data, target = os.urandom(LARGE), memoryview(bytearray(LARGE))
    cipher, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    record = cipher.encrypt(nonce, data[:_RECORD], None)

    def decrypt() -> None:
        for _ in range(LARGE // _RECORD):
            cipher.decrypt(nonce, record, None)

    def copy() -> None:
        target[:] = data

    return {
        "AES-256-GCM, records of 16 KiB": decrypt,
        "a copy in memory": copy,
        "a copy into new memory": lambda: bytearray(data),
        "CRC-32, as this store computes it": lambda: crc32(memoryview(data)),
        "CRC-32, zlib": lambda: zlib.crc32(data),
        "SHA-256": lambda: hashlib.sha256(data).digest(),
    }


def _repeated(step: Callable[[], object], seconds: float) -> tuple[float, float, int]:
    step()
    count, cpu, began = 0, time.process_time(), time.perf_counter()
    while not count or time.perf_counter() - began < seconds:
        step()
        count += 1
    return time.perf_counter() - began, time.process_time() - cpu, count


def _decrypted(certificate: Certificate, seconds: float) -> tuple[float, float, int]:
    """Seconds, CPU seconds and values of decryption by `ssl`, without a socket."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = certificate.server_context().wrap_bio(to_server, to_client, server_side=True)
    client = certificate.client_context().wrap_bio(
        to_client, to_server, server_hostname="127.0.0.1"
    )
    for end in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    data, memory = memoryview(bytes(LARGE)), memoryview(bytearray(LARGE))
    spent = cpu_spent = 0.0
    count = 0
    while spent < seconds:
        sent = filled = 0
        while sent < LARGE:
            sent += server.write(data[sent:])
        began, cpu = time.perf_counter(), time.process_time()
        while filled < LARGE:
            # With a buffer, `read` returns a number. typeshed states bytes.
            filled += client.read(LARGE, memory[filled:])  # type: ignore[operator]
        spent += time.perf_counter() - began
        cpu_spent += time.process_time() - cpu
        count += 1
    return spent, cpu_spent, count


def _read(place: Place, threads: int, seconds: float) -> tuple[float, float, int]:
    """Seconds, CPU seconds and values of reads in threads."""
    assert isinstance(place.endpoint, S3Endpoint)
    target = f"/{place.bucket}/large"
    address = urlsplit(place.endpoint.url)
    connections = [
        _Connection(str(address.hostname), address.port or 0, place) for _ in range(threads)
    ]
    connections[0].send(f"PUT {target} HTTP/1.1\r\nContent-Length: {LARGE}\r\n\r\n", bytes(LARGE))
    counts: list[int] = []

    def keep_reading(connection: _Connection) -> None:
        count = 0
        while not count or time.perf_counter() < until:
            connection.send(f"GET {target} HTTP/1.1\r\n\r\n")
            count += 1
        counts.append(count)

    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds
    running = [threading.Thread(target=keep_reading, args=(one,)) for one in connections]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.perf_counter() - began, time.process_time() - cpu, sum(counts)


class _Connection:
    """A blocking socket."""

    def __init__(self, host: str, port: int, place: Place) -> None:
        self._sock = socket.create_connection((host, port))
        if place.ca is not None:
            context = ssl.create_default_context(cafile=place.ca)
            self._sock = context.wrap_socket(self._sock, server_hostname=host)
        self._memory = memoryview(bytearray(LARGE + _RECORD))

    def send(self, head: str, body: bytes = b"") -> None:
        """Send a request, and receive the response."""
        self._sock.sendall(head.encode())
        self._sock.sendall(body)
        filled = self._sock.recv_into(self._memory)
        head_end = bytes(self._memory[:filled]).index(b"\r\n\r\n")
        lines = bytes(self._memory[:head_end]).lower().split(b"\r\n")
        lengths = [line.split(b":")[1] for line in lines if line.startswith(b"content-length")]
        end = head_end + 4 + int(lengths[0])
        while filled < end:
            filled += self._sock.recv_into(self._memory[filled:end])


if __name__ == "__main__":
    main()
