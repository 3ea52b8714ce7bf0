"""A MinIO of a test module's own, set up in another way than the one that all tests share.

Knows MinIO's settings for host names and the region. Does not know where the program is found nor
how it is watched, see `servers.minio` and `servers.process`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from servers import S3Endpoint
from servers.certificates import Certificate
from servers.minio import find_minio, launch_minio
from servers.process import Launch, running


@contextmanager
def own_minio(
    environment: Mapping[str, str] | None = None, tls: Certificate | None = None
) -> Iterator[S3Endpoint]:
    """Run a MinIO with further settings until the block is left."""

    @contextmanager
    def prepare(folder: Path) -> Iterator[Launch[S3Endpoint]]:
        with launch_minio(find_minio(), tls, folder) as launch:
            yield replace(launch, environment={**launch.environment, **(environment or {})})

    with running("own-minio", prepare) as endpoint:
        yield endpoint


def make_certificates(folder: Path, *names: str) -> list[Certificate]:
    """Certificates with these names for 127.0.0.1, and their authority.

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
    authority = folder / "authority.crt"
    return [
        Certificate(folder / f"{name}.crt", folder / f"{name}.key", authority) for name in names
    ]


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
