"""What the user made of s3fs, botocore and their connections that is beyond plain requests.

Knows where to look for it, and how s3fs trusts servers. Does not know how any request looks.
"""

from __future__ import annotations

import functools
import ssl
from types import MethodType
from typing import Any

import s3fs.core
from botocore.httpsession import create_urllib3_context, get_cert_path

from ...threads import in_thread
from .bounded import BoundedHTTPSession

__all__ = [
    "UnusualError",
    "check_filesystem",
    "check_handlers",
    "check_session",
    "tls_context",
]

#: What s3fs does to make a request of a call: who overrides any of it wants it done.
_METHODS_OF_S3FS = (
    "_call_s3",
    "_filter_kwargs",
    "_get_s3_method_kwargs",
    "get_s3",
    "set_session",
)
#: What botocore announces of a request, and lets handlers change.
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


class UnusualError(Exception):
    """Something about a request that only s3fs knows how to do; the message says what."""


def check_filesystem(fs: Any) -> None:
    """Refuse a filesystem that makes its requests in a way of its own."""
    for name in _METHODS_OF_S3FS:
        method = getattr(fs, name, None)
        # A decorator has the names of what it wraps, and not its globals.
        if method is not None and not (
            type(method) is MethodType and method.__func__.__globals__ is vars(s3fs.core)
        ):
            raise UnusualError(f"{type(fs).__name__}.{name} is not s3fs's own")


def check_handlers(client: Any, operation: str) -> None:
    """Refuse what somebody registered with botocore to take part in requests."""
    registered = client.meta.events._emitter._handlers
    for event in _EVENTS:
        for handler in registered.prefix_search(f"{event}.s3.{operation}"):
            function = handler.func if isinstance(handler, functools.partial) else handler
            owner = getattr(function, "__module__", None) or type(function).__module__
            # One that says so does nothing: moto registers one wherever it is imported.
            idle = getattr(function, "enabled", True) is False
            if owner.partition(".")[0] not in ("aiobotocore", "botocore") and not idle:
                raise UnusualError(f"a handler of {owner} for the event {event}")


def check_session(session: Any, url: str) -> None:
    """Refuse what the user configured of connections that is not done here."""
    if type(session).__name__ != "AIOHTTPSession" and type(session) is not BoundedHTTPSession:
        raise UnusualError("the HTTP library")
    if session._proxy_config.proxy_url_for(url) is not None:
        raise UnusualError("a proxy")
    if set(session._connector_args) - {"keepalive_timeout"}:
        raise UnusualError("connector_args")


async def tls_context(fs: Any) -> ssl.SSLContext:
    """How s3fs trusts servers, and what it shows them: ``verify``, ``client_cert``.

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
