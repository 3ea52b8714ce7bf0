"""nginx as a web server on a folder: one that can do everything, and several that cannot.

Knows where to look for nginx and how it is configured.
Does not know how a process is watched and stopped, see `process`, nor how nginx is installed.
"""

import base64
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running

# Where it is installed, which is not on everybody's PATH.
SBIN = os.pathsep.join(["/usr/sbin", "/usr/local/sbin"])

# Every path is relative, so that none needs quoting: to the folder nginx is started in, or to that
# of this file, which is the same. One process, in the foreground, that stays the user it is.
_CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{
        text/plain txt;
        text/html html;
        application/json json;
    }}
    default_type application/octet-stream;
    server {{
        listen {address};
        location = /{token} {{ return 200 {token}; }}
        location /files/ {{ alias served/; autoindex {autoindex}; {ranges} }}
        location /unlisted/ {{ alias served/; }}
        location /rangeless/ {{ alias served/; autoindex on; max_ranges 0; }}
        location /protected/ {{
            alias served/;
            autoindex on;
            auth_basic test;
            auth_basic_user_file users;
        }}
        location /bearer/ {{
            if ($http_authorization != "Bearer {bearer}") {{ return 401; }}
            alias served/;
            autoindex on;
        }}
        location /forbidden/ {{ alias served/; deny all; }}
        location /gzip/ {{
            alias served/;
            autoindex on;
            gzip on;
            gzip_min_length 1;
            gzip_types text/plain application/json;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class HTTPEndpoint:
    """A running web server. What is written to `folder` is there under each of its URLs."""

    root: str
    folder: Path
    user: str
    password: str = field(repr=False)
    bearer: str = field(repr=False)

    @property
    def url(self) -> str:
        """Lists folders and serves ranges, unless the server was told not to."""
        return f"{self.root}/files"

    @property
    def unlisted_url(self) -> str:
        """Serves ranges, but refuses to list a folder: 403."""
        return f"{self.root}/unlisted"

    @property
    def rangeless_url(self) -> str:
        """Lists folders, but answers a request for a range with the whole file: 200."""
        return f"{self.root}/rangeless"

    @property
    def protected_url(self) -> str:
        """As `url` for those who come with `storage_options`, and 401 for all others."""
        return f"{self.root}/protected"

    @property
    def bearer_url(self) -> str:
        """As `url` for those who come with the token `bearer`, and 401 for all others."""
        return f"{self.root}/bearer"

    @property
    def forbidden_url(self) -> str:
        """403, whoever asks and whether or not the file is there."""
        return f"{self.root}/forbidden"

    @property
    def gzip_url(self) -> str:
        """Compresses `.txt`, `.json` and `.html` for who takes gzip, and ignores ranges then."""
        return f"{self.root}/gzip"

    def storage_options(self) -> dict[str, Any]:
        """What fsspec's HTTP filesystem needs to be let in at `protected_url`."""
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"headers": {"Authorization": f"Basic {pair}"}}


@contextmanager
def nginx_server(
    *, folder: Path, autoindex: bool = True, ranges: bool = True, sbin: str = SBIN
) -> Iterator[HTTPEndpoint]:
    """Runs nginx on `folder` until the block is left. The two switches are those of `url`."""
    program = _find_nginx(sbin)
    with running("nginx", partial(_launch, program, folder, autoindex, ranges)) as endpoint:
        yield endpoint


def _find_nginx(sbin: str) -> str:
    program = shutil.which("nginx") or shutil.which("nginx", path=sbin)
    if program is None:
        raise ServerUnavailable(
            "nginx is missing: neither on the PATH nor in /usr/sbin; run: make nginx"
        )
    return program


@contextmanager
def _launch(
    program: str, served: Path, autoindex: bool, ranges: bool, folder: Path
) -> Iterator[Launch[HTTPEndpoint]]:
    with port_block() as port:
        address = f"{LOOPBACK}:{port}"
        endpoint = HTTPEndpoint(
            root=f"http://{address}",
            folder=served,
            user=f"user-{secrets.token_hex(8)}",
            password=secrets.token_hex(20),
            bearer=secrets.token_hex(20),
        )
        token = secrets.token_hex(16)
        (folder / "served").symlink_to(served.resolve(), target_is_directory=True)
        (folder / "users").write_text(f"{endpoint.user}:{{PLAIN}}{endpoint.password}\n")
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                address=address,
                token=token,
                bearer=endpoint.bearer,
                autoindex="on" if autoindex else "off",
                ranges="" if ranges else "max_ranges 0;",
            )
        )
        yield Launch(
            command=[program, "-p", f"{folder}/", "-c", "nginx.conf"],
            environment={},
            served=endpoint,
            why_not_ready=partial(_why_not_ready, f"{endpoint.root}/{token}", token),
        )


def _why_not_ready(url: str, token: str) -> str | None:
    # The token is what a stranger that happens to listen on the same port does not know.
    # No proxy, because it is all on loopback.
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            said: bytes = answer.read()
    except (OSError, HTTPException) as error:
        return str(error)
    return None if said.decode(errors="replace") == token else "another server answers there"
