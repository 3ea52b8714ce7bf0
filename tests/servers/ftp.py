"""pyftpdlib as an FTP server: in a thread of the test process, below a folder of its own.

Knows how to run pyftpdlib's server quietly, with a user who may do anything, one who may only
look, and one who may only read.
Does not know how stores reach it: that is the user's `storage_options`.
"""

import logging
import secrets
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK

#: Enter and list folders, read, append, delete, rename, make folders, store, change times.
_EVERYTHING = "elradfmwMT"
#: Enter and list folders, and nothing that is in them.
_LOOK = "el"
#: Enter folders and read files, whose names one has to know.
_READ = "er"


@dataclass(frozen=True)
class FTPEndpoint:
    """A running FTP server whose root is `folder`."""

    port: int
    folder: Path
    password: str = field(repr=False)
    _server: Any = field(repr=False)

    def storage_options(self, user: str = "writer") -> dict[str, Any]:
        """What fsspec's FTP filesystem needs to log in as "writer", "looker" or "reader"."""
        return {
            "host": LOOPBACK,
            "port": self.port,
            "username": user,
            "password": self.password,
            "timeout": 20,
        }

    def drop_connections(self) -> None:
        """Break every connection there is, as a server does that restarts; new ones are welcome."""
        dropped = threading.Event()

        def drop() -> None:
            for handler in list(self._server.ioloop.socket_map.values()):
                if handler is not self._server:
                    handler.close()
            dropped.set()

        self._server.ioloop.call_later(0, drop)
        assert dropped.wait(30)


@contextmanager
def ftp_server() -> Iterator[FTPEndpoint]:
    """Runs an FTP server on a free port until the block is left."""
    try:
        with warnings.catch_warnings():
            # Of modules of Python that it imports and that are going to be removed.
            warnings.simplefilter("ignore", DeprecationWarning)
            from pyftpdlib.authorizers import DummyAuthorizer
            from pyftpdlib.handlers import FTPHandler
            from pyftpdlib.ioloop import IOLoop
            from pyftpdlib.servers import FTPServer
    except ImportError as error:
        raise ServerUnavailable(
            f"pyftpdlib cannot be imported ({error}); run: python -m pip install pyftpdlib"
        ) from error

    with TemporaryDirectory(prefix="test-ftp-") as folder:
        password = secrets.token_hex(8)
        authorizer = DummyAuthorizer()
        authorizer.add_user("writer", password, folder, perm=_EVERYTHING)
        authorizer.add_user("looker", password, folder, perm=_LOOK)
        authorizer.add_user("reader", password, folder, perm=_READ)

        class Handler(FTPHandler):  # type: ignore[misc]
            pass

        Handler.authorizer = authorizer
        logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
        # All servers of a process share one loop by default, and the end of one closes it.
        server = FTPServer((LOOPBACK, 0), Handler, ioloop=IOLoop())
        stopping = threading.Event()

        def serve() -> None:
            while not stopping.is_set():
                server.serve_forever(timeout=0.05, blocking=False, handle_exit=False)

        thread = threading.Thread(target=serve, name="ftp-server")
        thread.start()
        try:
            yield FTPEndpoint(server.address[1], Path(folder), password, server)
        finally:
            stopping.set()
            thread.join()
            server.close_all()
