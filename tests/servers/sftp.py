"""asyncssh as an SFTP server: in a thread of the test process, below a folder of its own.

Knows how to run asyncssh's server with keys that nobody else has.
Does not know how stores reach it: that is the user's `storage_options`.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK

_USER = "tester"


@dataclass(frozen=True)
class SFTPEndpoint:
    """A running SFTP server; paths on it are paths of this machine."""

    port: int
    folder: Path
    key_file: Path = field(repr=False)
    _server: "_Server" = field(repr=False)

    def storage_options(self) -> dict[str, Any]:
        """What fsspec's SFTP filesystem needs to reach this server."""
        return {
            "host": LOOPBACK,
            "port": self.port,
            "username": _USER,
            "key_filename": str(self.key_file),
            "allow_agent": False,
            "look_for_keys": False,
        }

    @property
    def logins(self) -> int:
        """How many connections logged in so far."""
        return self._server.logins

    def drop_connections(self) -> None:
        """Break every connection there is, as a network does; new ones are welcome."""
        self._server.drop_connections()


@contextmanager
def sftp_server() -> Iterator[SFTPEndpoint]:
    """Runs an SFTP server on a free port until the block is left."""
    try:
        import asyncssh
    except ImportError as error:
        raise ServerUnavailable(
            f"asyncssh cannot be imported ({error}); run: python -m pip install asyncssh"
        ) from error

    with TemporaryDirectory(prefix="test-sftp-") as folder:
        served = Path(folder) / "served"
        served.mkdir()
        key = asyncssh.generate_private_key("ssh-ed25519")
        key_file = Path(folder) / "user_key"
        key.write_private_key(str(key_file))
        server = _Server(key)
        port = server.start()
        try:
            yield SFTPEndpoint(port, served, key_file, server)
        finally:
            server.stop()


class _Server:
    """The server's loop and its thread."""

    def __init__(self, user_key: Any) -> None:
        self.logins = 0
        self._user_key = user_key
        self._connections: set[Any] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp-server")
        self._acceptor: Any = None

    def start(self) -> int:
        self._thread.start()
        return self._run(self._listen())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop_connections(self) -> None:
        self._run(self._abort())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> int:
        import asyncssh

        server, user_key = self, self._user_key

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn: Any) -> None:
                self.connection = conn
                server._connections.add(conn)

            def connection_lost(self, exc: Exception | None) -> None:
                server._connections.discard(self.connection)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: Any) -> bool:
                return username == _USER and key == user_key.convert_to_public()

            def auth_completed(self) -> None:
                server.logins += 1

        self._acceptor = await asyncssh.create_server(
            Login,
            LOOPBACK,
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=True,
        )
        return int(self._acceptor.get_port())

    async def _abort(self) -> None:
        lost = list(self._connections)
        for connection in lost:
            connection.abort()
        await asyncio.gather(*(connection.wait_closed() for connection in lost))

    async def _close(self) -> None:
        self._acceptor.close()
        await self._abort()
        await self._acceptor.wait_closed()
        await self._loop.shutdown_default_executor()
