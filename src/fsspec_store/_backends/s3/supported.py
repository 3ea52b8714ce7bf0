"""Which configurations of s3fs, botocore and their connections the native transport supports.

Knows where they are configured, and how s3fs verifies servers; nothing of single requests.
"""

from __future__ import annotations

import functools
import ssl
from types import MethodType
from typing import Any

import s3fs.core
from botocore.httpsession import create_urllib3_context, get_cert_path

from ..._runtime.threads import in_thread
from .bounded import BoundedHTTPSession

__all__ = [
    "UnsupportedError",
    "check_filesystem",
    "check_handlers",
    "check_session",
    "tls_context",
]

#: Methods by which s3fs makes a request of a call: overridden, they have to be called.
_METHODS_OF_S3FS = (
    "_call_s3",
    "_filter_kwargs",
    "_get_s3_method_kwargs",
    "get_s3",
    "set_session",
)
#: Events of botocore in which handlers may change a request.
_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "before-parse",
    "response-received",
    "needs-retry",
    "after-call",
    "after-call-error",
)


class UnsupportedError(Exception):
    """The configuration of a request that only s3fs supports; the message says which."""


def check_filesystem(fs: Any) -> None:
    """Raise for a filesystem that overrides how s3fs makes requests."""
    for name in _METHODS_OF_S3FS:
        method = getattr(fs, name, None)
        # A decorator has the names of what it wraps, and not its globals.
        if method is not None and not (
            type(method) is MethodType and method.__func__.__globals__ is vars(s3fs.core)
        ):
            raise UnsupportedError(f"{type(fs).__name__}.{name} is not s3fs's own")


def check_handlers(client: Any, operation: str) -> None:
    """Raise for handlers of others that take part in botocore's requests."""
    registered = client.meta.events._emitter._handlers
    for event in _EVENTS:
        for handler in registered.prefix_search(f"{event}.s3.{operation}"):
            function = handler.func if isinstance(handler, functools.partial) else handler
            owner = getattr(function, "__module__", None) or type(function).__module__
            # moto registers a handler, which is idle, wherever it is imported.
            idle = getattr(function, "enabled", True) is False
            if owner.partition(".")[0] not in ("aiobotocore", "botocore") and not idle:
                raise UnsupportedError(f"a handler of {owner} for the event {event}")


def check_session(session: Any, url: str) -> None:
    """Raise for options of connections that are not supported."""
    if type(session).__name__ != "AIOHTTPSession" and type(session) is not BoundedHTTPSession:
        raise UnsupportedError("the HTTP library")
    if session._proxy_config.proxy_url_for(url) is not None:
        raise UnsupportedError("a proxy")
    if set(session._connector_args) - {"keepalive_timeout"}:
        raise UnsupportedError("connector_args")


async def tls_context(fs: Any) -> ssl.SSLContext:
    """The TLS context by which s3fs connects: ``verify``, ``client_cert``.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own s3fs filesystem.
    """
    await fs.set_session()
    session = fs._s3._endpoint.http_session
    verify, cert, key = session._verify, session._cert_file, session._key_file

    def make() -> ssl.SSLContext:
        # botocore's, and not Python's: newer releases of Python refuse certificates of private
        # authorities that s3fs takes.
        context: ssl.SSLContext = create_urllib3_context()
        if verify:
            context.check_hostname = True
            context.load_verify_locations(get_cert_path(verify))
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert is not None:
            context.load_cert_chain(cert, key)
        return context

    # It reads files.
    return await in_thread(make)
