"""Azurite as Azure Blob Storage: the program that tools/install_azurite.sh brings.

Knows where to look for Azurite, its command line, and what adlfs wants to be told.
Does not know how a process is watched and stopped, see `process`, nor how Azurite is installed.
"""

import base64
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from servers.certificates import Certificate
from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running

_TOOLS = Path(__file__).resolve().parents[2] / ".tools"
INSTALLED = _TOOLS / "azurite" / "node_modules" / ".bin" / "azurite-blob"

# Half of the machine's memory otherwise. What is deleted keeps its place for ten minutes.
_MEGABYTES = 1024


@dataclass(frozen=True)
class AzureEndpoint:
    """A running Azure Blob Storage server."""

    url: str
    account: str
    key: str = field(repr=False)
    #: The certificate that clients have to trust; ``None`` without TLS.
    ca: Path | None = None

    @property
    def connection_string(self) -> str:
        """All of it in the form that Azure's tools take. Holds the key."""
        protocol = self.url.partition(":")[0]
        return (
            f"DefaultEndpointsProtocol={protocol};AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.url};"
        )

    def storage_options(self) -> dict[str, Any]:
        """What adlfs needs to reach this server."""
        return {"connection_string": self.connection_string}

    def client(self) -> Any:
        """Azure's own client, synchronous: a second opinion on what is really stored."""
        # Imported here because only the tests of Azure need it to be installed.
        from azure.storage.blob import BlobServiceClient

        # One try, so that a refusal is seen at once and as it is; no proxy: it is all on loopback.
        return BlobServiceClient.from_connection_string(
            self.connection_string,
            retry_total=0,
            connection_timeout=5,
            read_timeout=30,
            use_env_settings=False,
            connection_verify=True if self.ca is None else str(self.ca),
        )

    def make_container(self, name: str | None = None) -> str:
        """Makes a container, with a name nobody else uses unless one is given, and returns it."""
        container = f"test-{uuid4().hex}" if name is None else name
        with closing(self.client()) as client:
            client.create_container(container)
        return container

    @contextmanager
    def readiness(self) -> Iterator[Callable[[], str | None]]:
        """A question to ask again and again: why can this server not be used yet?

        It is asked with the account of this endpoint, so a stranger that happens to listen on
        the same port is not taken for the server.
        """
        from azure.core.exceptions import AzureError

        def why_not_ready() -> str | None:
            try:
                client.get_account_information()
            except AzureError as error:
                return str(error)
            return None

        with closing(self.client()) as client:
            yield why_not_ready


@contextmanager
def azurite_server(
    tls: Certificate | None = None, *, installed: Path = INSTALLED
) -> Iterator[AzureEndpoint]:
    """Runs Azurite, with an account of its own, until the block is left.

    With `tls` it accepts every token that has not expired, whoever signed it.
    """
    program = _find_azurite(installed)
    _need_client()
    with running("azurite", partial(_launch, program, tls)) as endpoint:
        yield endpoint


def _find_azurite(installed: Path) -> str:
    program = shutil.which(str(installed)) or shutil.which("azurite-blob")
    if program is None:
        raise ServerUnavailable(
            "Azurite is missing: not installed in .tools/azurite, and no `azurite-blob` on the "
            "PATH; run: make azurite"
        )
    return program


def _need_client() -> None:
    try:
        import azure.storage.blob  # noqa: F401
    except ImportError as error:
        raise ServerUnavailable(
            f"Azure's client cannot be imported ({error}); "
            "run: python -m pip install azure-storage-blob"
        ) from error


@contextmanager
def _launch(program: str, tls: Certificate | None, folder: Path) -> Iterator[Launch[AzureEndpoint]]:
    with port_block() as port:
        account = f"test{secrets.token_hex(8)}"
        endpoint = AzureEndpoint(
            url=f"{'https' if tls else 'http'}://{LOOPBACK}:{port}/{account}",
            account=account,
            key=base64.b64encode(secrets.token_bytes(32)).decode(),
            ca=tls and tls.ca,
        )
        with endpoint.readiness() as why_not_ready:
            yield Launch(
                command=[
                    program,
                    "--blobHost",
                    LOOPBACK,
                    "--blobPort",
                    str(port),
                    "--inMemoryPersistence",
                    "--extentMemoryLimit",
                    str(_MEGABYTES),
                    # Clients ask for versions of the API that Azurite has not heard of.
                    "--skipApiVersionCheck",
                    "--silent",
                    "--disableTelemetry",
                    *_tls_arguments(tls),
                ],
                environment={"AZURITE_ACCOUNTS": f"{account}:{endpoint.key}"},
                served=endpoint,
                why_not_ready=why_not_ready,
            )


def _tls_arguments(tls: Certificate | None) -> list[str]:
    if tls is None:
        return []
    return ["--cert", str(tls.file), "--key", str(tls.key), "--oauth", "basic"]
