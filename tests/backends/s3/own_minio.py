"""A MinIO of a test module's own, set up in another way than the one that all tests share.

Knows MinIO's settings for TLS, host names and the region. Does not know where the program is found
nor how it is watched, see `servers.minio` and `servers.process`.
"""

from __future__ import annotations

import dataclasses
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from servers import S3Endpoint
from servers.minio import find_minio, launch_minio
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
        A folder of `make_certificates` with those of ``public``, by which it speaks TLS.
    """

    @contextmanager
    def prepare(folder: Path) -> Iterator[Launch[S3Endpoint]]:
        with launch_minio(find_minio(), folder) as launch:
            command, served, ready = [*launch.command], launch.served, launch.why_not_ready
            if certificates is not None:
                # As MinIO wants them to be named.
                own = folder / "certificates"
                own.mkdir()
                shutil.copy(certificates / "public.crt", own / "public.crt")
                shutil.copy(certificates / "public.key", own / "private.key")
                command += ["--certs-dir", str(own)]
                served = dataclasses.replace(served, url=served.url.replace("http:", "https:"))
                ready = partial(_why_not_ready, served)
            yield Launch(
                command=command,
                environment={**launch.environment, **(environment or {})},
                served=served,
                why_not_ready=ready,
            )

    with running("own-minio", prepare) as endpoint:
        yield endpoint


def _why_not_ready(endpoint: S3Endpoint) -> str | None:
    host, port = endpoint.url.removeprefix("https://").split(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
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


def make_certificates(folder: Path, *names: str) -> None:
    """An authority in ``authority.crt``, and certificates by it for 127.0.0.1 with their keys.

    As private ones often are: without the marks that strict checks ask for (RFC 5280, section
    4.2.1), which Python makes of its own accord from 3.13 on and s3fs does not.
    """
    plain = "subjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n"
    settings = folder / "settings.cnf"
    settings.write_text(
        "[req]\ndistinguished_name=name\n[name]\n"
        f"[authority]\nbasicConstraints=CA:TRUE\n{plain}"
        f"[leaf]\nsubjectAltName=IP:127.0.0.1\n{plain}"
    )
    _openssl(folder, "req -x509 -nodes -days 2 -extensions authority", "authority")
    for name in names:
        _openssl(folder, "req -new -nodes", name)
        signing = f"x509 -req -in {name}.crt -CA authority.crt -CAkey authority.key -CAcreateserial"
        signing += f" -days 2 -extfile settings.cnf -extensions leaf -out {name}.signed"
        subprocess.run(["openssl", *signing.split()], cwd=folder, check=True, capture_output=True)
        (folder / f"{name}.signed").replace(folder / f"{name}.crt")


def _openssl(folder: Path, what: str, name: str) -> None:
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -config settings.cnf"
    command = f"{what} {key} -subj /CN={name} -keyout {name}.key -out {name}.crt"
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


def to_loopback(resolve: Callable[..., object]) -> Callable[..., object]:
    """A resolver that knows names below ``localhost``, as RFC 6761, section 6.3, wants it."""

    def resolved(host: object, *args: object, **kwargs: object) -> object:
        if isinstance(host, str) and host.endswith(".localhost"):
            host = "127.0.0.1"
        return resolve(host, *args, **kwargs)

    return resolved
