"""moto as an S3 server: quick and always there, but inside the test process and trusting anyone.

Knows how to run moto's application quietly, with a thread for each connection and one request
inside moto at a time: moto compares a version or looks for a name first and writes afterwards, and
two requests between which it changes threads would both succeed.
Does not isolate: moto keeps its buckets in globals, so every moto server of one test process shows
the same buckets, also after a restart. Tests use buckets with names of their own.
"""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from servers.errors import ServerUnavailable
from servers.ports import LOOPBACK
from servers.s3_endpoint import S3Endpoint


@contextmanager
def moto_server() -> Iterator[S3Endpoint]:
    """Runs moto on a free port. It accepts any key pair."""
    # Imported here because it takes a second, which only the tests that need moto should pay.
    try:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server
    except ImportError as error:
        raise ServerUnavailable(
            f"moto's server cannot be imported ({error}); "
            "run: python -m pip install 'moto[s3,server]'"
        ) from error

    application = _OneAtATime(DomainDispatcherApplication(create_backend_app))
    with _only_warnings("werkzeug"):
        server = make_server(LOOPBACK, 0, application, threaded=True)
        thread = threading.Thread(target=server.serve_forever, name="moto", daemon=True)
        thread.start()
        try:
            yield S3Endpoint(
                name="moto",
                url=f"http://{LOOPBACK}:{server.server_port}",
                key="moto-key",
                secret="moto-secret",
                enforces_credentials=False,
            )
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _OneAtATime:
    """A WSGI application whose requests wait for one another, not for the bodies of others."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        # A client that stalls halfway through its body must not stop the others.
        ends_itself = environ.get("wsgi.input_terminated", False)
        length = -1 if ends_itself else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return self._application(environ, start_response)


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
