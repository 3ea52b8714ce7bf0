"""A MinIO of a test module's own, set up in another way than the one that all tests share.

Knows MinIO's settings for TLS, host names and the region. Does not know where the program is found
nor how it is watched, see `servers.minio` and `servers.process`.
"""

from __future__ import annotations

import dataclasses
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from servers import S3Endpoint
from servers.minio import _find_minio, _launch
from servers.process import Launch, running


@contextmanager
def own_minio(
    environment: Mapping[str, str] | None = None, certificates: Path | None = None
) -> Iterator[S3Endpoint]:
    """Run a MinIO until the block is left.

    Parameters
    ----------
    environment : mapping, optional
        Its further settings.
    certificates : Path, optional
        A folder with ``public.crt`` and ``private.key``, by which it speaks TLS.
    """

    @contextmanager
    def prepare(folder: Path) -> Iterator[Launch[S3Endpoint]]:
        with _launch(_find_minio(), folder) as launch:
            command, served, ready = [*launch.command], launch.served, launch.why_not_ready
            if certificates is not None:
                command += ["--certs-dir", str(certificates)]
                served = dataclasses.replace(served, url=served.url.replace("http:", "https:"))
                ready = partial(_why_not_ready, served, certificates / "public.crt")
            yield Launch(
                command=command,
                environment={**launch.environment, **(environment or {})},
                served=served,
                why_not_ready=ready,
            )

    with running("own-minio", prepare) as endpoint:
        yield endpoint


def _why_not_ready(endpoint: S3Endpoint, certificate: Path) -> str | None:
    host, port = endpoint.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=certificate)
    request = f"GET /minio/health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with (
            socket.create_connection((host, int(port)), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(request.encode())
            answer = connection.recv(100)
    except OSError as error:
        return str(error)
    return None if answer.startswith(b"HTTP/1.1 200") else repr(answer)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key, for 127.0.0.1.

    One that has been made by hand, as private ones are: without the marks of an authority that
    strict checks ask for.
    """
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    settings = folder / f"{name}.cnf"
    settings.write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=test\n"
        "[ext]\nsubjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=none\n"
        "authorityKeyIdentifier=none\n"
    )
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-config", str(settings), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def to_loopback(resolve: Callable[..., object]) -> Callable[..., object]:
    """A resolver that knows names below ``localhost``, as RFC 6761, section 6.3, wants it."""

    def resolved(host: object, *args: object, **kwargs: object) -> object:
        if isinstance(host, str) and host.endswith(".localhost"):
            host = "127.0.0.1"
        return resolve(host, *args, **kwargs)

    return resolved
