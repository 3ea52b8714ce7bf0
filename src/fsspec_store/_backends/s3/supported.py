"""Checks whether the native transport supports a configuration of s3fs and botocore."""

from __future__ import annotations

import functools
import ssl
from types import MethodType
from typing import Any

import s3fs.core
from botocore.httpsession import create_urllib3_context, get_cert_path

from ..._runtime.threads import in_thread
from .bounded import BoundedHTTPSession

__all__ = ["UnsupportedError", "check_filesystem", "check_handlers", "check_session", "tls_context"]

#: Methods by which s3fs builds requests. The native transport would bypass overridden ones.
_METHODS_OF_S3FS = ("_call_s3", "_filter_kwargs", "_get_s3_method_kwargs", "get_s3", "set_session")
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
    """Only s3fs supports the configuration of a request; the message names the part."""


def check_filesystem(fs: Any) -> None:
    """Raise `UnsupportedError` for a filesystem that overrides how s3fs builds requests."""
    for name in _METHODS_OF_S3FS:
        method = getattr(fs, name, None)
        # A decorated method has the name of the original, but other globals.
        if method is not None and not (
            type(method) is MethodType and method.__func__.__globals__ is vars(s3fs.core)
        ):
            raise UnsupportedError(f"{type(fs).__name__}.{name} overrides that of s3fs")


def check_handlers(client: Any, operation: str) -> None:
    """Raise `UnsupportedError` for event handlers of other packages in botocore's requests."""
    registered = client.meta.events._emitter._handlers
    for event in _EVENTS:
        for handler in registered.prefix_search(f"{event}.s3.{operation}"):
            function = handler.func if isinstance(handler, functools.partial) else handler
            owner = getattr(function, "__module__", None) or type(function).__module__
            # moto registers a handler on import, which is disabled until a mock starts.
            is_disabled = getattr(function, "enabled", True) is False
            if owner.partition(".")[0] not in ("aiobotocore", "botocore") and not is_disabled:
                raise UnsupportedError(f"a handler of {owner} for the event {event}")


def check_session(session: Any, url: str) -> None:
    """Raise `UnsupportedError` for unsupported options of connections."""
    if type(session).__name__ != "AIOHTTPSession" and type(session) is not BoundedHTTPSession:
        raise UnsupportedError("the HTTP library")
    if session._proxy_config.proxy_url_for(url) is not None:
        raise UnsupportedError("a proxy")
    if set(session._connector_args) - {"keepalive_timeout"}:
        raise UnsupportedError("connector_args")


async def tls_context(fs: Any) -> ssl.SSLContext:
    """The TLS context with the options of s3fs, such as ``verify`` and ``client_cert``."""
    await fs.set_session()
    session = fs._s3._endpoint.http_session
    verify, cert, key = session._verify, session._cert_file, session._key_file

    def make() -> ssl.SSLContext:
        # From botocore: the default context of newer Python releases rejects certificates of
        # private authorities that s3fs accepts.
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

    # It reads certificate files.
    return await in_thread(make)
