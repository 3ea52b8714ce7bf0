"""MinIO as an S3 server: one that runs already, or the program that tools/build_minio.sh makes.

Knows where to look for MinIO and how it is configured.
Does not know how a process is watched and stopped, see `process`, nor how MinIO is built.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from servers.certificates import Certificate
from servers.errors import ServerStartError, ServerUnavailable
from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running, wait_until_ready
from servers.s3_endpoint import S3Endpoint

_GIVEN = "FSSPEC_STORE_TEST_MINIO_ENDPOINT"
_GIVEN_KEY = "FSSPEC_STORE_TEST_MINIO_KEY"
_GIVEN_SECRET = "FSSPEC_STORE_TEST_MINIO_SECRET"

BUILT = Path(__file__).resolve().parents[2] / ".tools" / "bin" / "minio"


@contextmanager
def minio_server(built: Path = BUILT, *, tls: Certificate | None = None) -> Iterator[S3Endpoint]:
    """The MinIO named in the environment, or one run until the block is left.

    The one named in the environment is neither stopped nor cleaned: the buckets of the tests stay.
    With `tls` it is always a new one.
    """
    url = os.environ.get(_GIVEN)
    if url and tls is None:
        yield _given(url)
        return
    program = find_minio(built)
    with running("minio", partial(launch_minio, program, tls)) as endpoint:
        yield endpoint


def _given(url: str) -> S3Endpoint:
    # Who names a server wants the tests to run against it: to skip them now would hide a mistake.
    missing = [name for name in (_GIVEN_KEY, _GIVEN_SECRET) if not os.environ.get(name)]
    if missing:
        raise ServerStartError(f"{_GIVEN} is set, but not {' and '.join(missing)}")
    endpoint = S3Endpoint(
        name="minio",
        url=url.rstrip("/"),
        key=os.environ[_GIVEN_KEY],
        secret=os.environ[_GIVEN_SECRET],
        enforces_credentials=True,
    )
    with endpoint.readiness() as why_not_ready:
        reason = wait_until_ready(why_not_ready, seconds=10)
    if reason is not None:
        raise ServerStartError(f"the MinIO that {_GIVEN} names cannot be used: {reason}")
    return endpoint


def find_minio(built: Path = BUILT) -> str:
    """The program; `ServerUnavailable` where there is none."""
    program = shutil.which(str(built)) or shutil.which("minio")
    if program is None:
        raise ServerUnavailable(
            "MinIO is missing: not built in .tools/bin, not on the PATH, "
            f"and {_GIVEN} is not set; run: make minio"
        )
    return program


@contextmanager
def launch_minio(
    program: str, tls: Certificate | None, folder: Path
) -> Iterator[Launch[S3Endpoint]]:
    """How it is started in a folder, with a port and credentials of its own."""
    with port_block() as port:
        endpoint = S3Endpoint.about_to_start("minio", port, tls and tls.ca)
        with endpoint.readiness() as why_not_ready:
            yield Launch(
                command=[
                    program,
                    "server",
                    str(folder / "data"),
                    "--address",
                    f"{LOOPBACK}:{port}",
                    *_tls_arguments(tls, folder),
                ],
                environment={
                    "MINIO_ROOT_USER": endpoint.key,
                    "MINIO_ROOT_PASSWORD": endpoint.secret,
                    # No console, which would need a second port, and no calls to the outside.
                    "MINIO_BROWSER": "off",
                    "MINIO_UPDATE": "off",
                    "MINIO_CALLHOME_ENABLE": "off",
                },
                served=endpoint,
                why_not_ready=why_not_ready,
            )


def _tls_arguments(tls: Certificate | None, folder: Path) -> list[str]:
    if tls is None:
        return []
    assert tls.key is not None
    # MinIO requires these names.
    certificates = folder / "certificates"
    certificates.mkdir()
    shutil.copy(tls.file, certificates / "public.crt")
    shutil.copy(tls.key, certificates / "private.key")
    return ["--certs-dir", str(certificates)]
