"""An S3 server of a test's own: what it answers to each request is a function of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.certificates import Certificate
from servers.scripted import Peer, scripted_server


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer; its length is added, unless the headers say that there is none."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)

    def written(self, method: str) -> bytes:
        lines = {"Content-Length": str(len(self.body)), **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
        body = b"" if method == "HEAD" else self.body
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n".encode() + body


def error(status: int, code: str) -> Reply:
    """An error as S3 tells it."""
    body = f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode()
    return Reply(status, body, {"Content-Type": "application/xml"})


def value(data: bytes, **headers: str) -> Reply:
    """An object."""
    return Reply(200, data, {"ETag": '"e"', **headers})


Answering = Callable[[Asked], Reply]


@dataclass
class ScriptedS3:
    """Where it listens, and what it was asked."""

    url: str = ""
    #: The certificate that clients have to trust, if it speaks TLS.
    ca: Path | None = None
    seen: list[Asked] = field(default_factory=list)

    def options(self, **more: Any) -> dict[str, Any]:
        """Storage options by which it is reached."""
        client: dict[str, Any] = {"region_name": "us-east-1"}
        if self.ca is not None:
            client["verify"] = str(self.ca)
        return {
            "key": "key",
            "secret": "secret",
            "endpoint_url": self.url,
            "client_kwargs": client,
            **more,
        }


@asynccontextmanager
async def scripted_s3(
    answer: Answering, *, tls: Certificate | None = None
) -> AsyncIterator[ScriptedS3]:
    """Runs a server that answers by a function."""
    served = ScriptedS3(ca=tls and tls.ca)

    async def script(peer: Peer) -> None:
        while True:
            try:
                head = await peer.reader.readuntil(b"\r\n\r\n")
            except (EOFError, ConnectionError):
                return
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            method, target, _ = first.split(" ")
            path, _, query = target.partition("?")
            pairs = [line.partition(":") for line in lines]
            headers = {name.lower(): text.strip() for name, _, text in pairs}
            if "expect" in headers:
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if "transfer-encoding" in headers:
                body = await _read_chunks(peer.reader)
            else:
                body = await peer.reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(method, path, query, headers, body)
            served.seen.append(asked)
            await peer.send(answer(asked).written(method))

    context = tls and tls.server_context()
    async with scripted_server(script, tls=context) as server:
        scheme = "http" if tls is None else "https"
        served.url = f"{scheme}://{server.host}:{server.port}"
        yield served


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks, without trailers."""
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body
