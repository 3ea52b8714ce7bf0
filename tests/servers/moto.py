"""moto as an S3 server: quick and always there, but inside the test process and trusting anyone.

Knows how to run moto's threaded server quietly.
Does not isolate: moto keeps its buckets in globals, so every moto server of one test process shows
the same buckets, also after a restart. Tests use buckets with names of their own.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK
from servers.s3_endpoint import S3Endpoint


@contextmanager
def moto_server() -> Iterator[S3Endpoint]:
    """Runs moto on a free port. It accepts any key pair."""
    # Imported here because it takes a second, which only the tests that need moto should pay.
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise ServerUnavailable(
            f"moto's server cannot be imported ({error}); "
            "run: python -m pip install 'moto[s3,server]'"
        ) from error

    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    with _only_warnings("werkzeug"):
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield S3Endpoint(
                name="moto",
                url=f"http://{host}:{port}",
                key="moto-key",
                secret="moto-secret",
                enforces_credentials=False,
            )
        finally:
            server.stop()


@contextmanager
def _only_warnings(logger_name: str) -> Iterator[None]:
    # werkzeug logs a line per request, and gives itself a handler unless it finds a level set.
    logger = logging.getLogger(logger_name)
    level_before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level_before)
