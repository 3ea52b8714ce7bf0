"""Creates and closes copies of the user's s3fs filesystem, one for each event loop.

s3fs binds its session to the event loop of the first call, and shares instances between callers. A
store therefore neither uses nor closes the user's instance: it creates copies with its arguments.
"""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiobotocore.session
import botocore.session
from aiobotocore.config import AioConfig
from botocore.config import Config

from ..._http.aiohttp_sessions import close_now, end_reading, forget
from ..._http.credential_lookups import LookupRate
from ..._http.limiter import MAX_IN_FLIGHT
from ...errors import StorageOptionError
from ..option_names import S3FS
from ..options import endpoint_advice, refuse_unknown
from .bounded import session_config
from .credentials import Session
from .library import http_sessions
from .transports import Transports

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from ..._http.retry_policy import RetryPolicy

_ENDPOINT = re.compile(r"https?://[^@?#]+")

__all__ = ["S3Filesystems", "check_options", "customer_keys", "endpoint_of"]


class S3Filesystems:
    """Creates and closes asynchronous copies of a user's s3fs filesystem.

    The store retries; retries of s3fs and botocore are disabled. For ``threads`` see
    `fsspec_store._http.settings.Settings.native_threads`.
    """

    def __init__(self, fs: AbstractFileSystem, policy: RetryPolicy, threads: int | None) -> None:
        self._fs = fs
        self._policy = policy
        self._threads = threads
        is_explicit = fs.anon or fs.key or "aws_access_key_id" in (fs.client_kwargs or {})
        #: For credentials that are not in the user's options.
        self._rate = None if is_explicit else LookupRate()
        self._own_config: dict[str, Any] = {
            # With botocore's default of 10 most concurrent requests would wait for a connection.
            "max_pool_connections": MAX_IN_FLIGHT,
            **session_config(),
        }
        if "response_checksum_validation" in Config.OPTION_DEFAULTS:
            # Some services send the checksum of the whole object with a range. Reads of whole
            # objects request checksums themselves.
            self._own_config["response_checksum_validation"] = "when_required"
        self._policy_config = {
            "connect_timeout": policy.connect_timeout,
            "read_timeout": policy.timeout,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
        }

    def make(self) -> Transports:
        """Create a copy of the filesystem, and its transports."""
        options = _copied(self._fs.storage_options)
        options.pop("loop", None)
        options["asynchronous"] = True
        options["skip_instance_cache"] = True
        config = options.get("config_kwargs") or {}
        options["config_kwargs"] = {**self._own_config, **config, **self._policy_config}
        if options.get("session") is None:
            options["session"] = _session(self._fs.kwargs)
        fs = type(self._fs)(*self._fs.storage_args, **options)
        # The number of attempts of a request.
        fs.retries = 1
        return Transports(fs, self._policy, self._threads, self._rate)

    async def aclose(self, transports: Transports) -> None:
        """Close the sessions of `transports`, and wait until their connections are closed."""
        fs = transports.fs
        transports.library.closed = True
        if transports.native is not None:
            await transports.native.aclose()
        for session in http_sessions(fs):
            end_reading(session)
        creator, fs._s3 = getattr(fs, "_s3creator", None), None
        fs.set_session = _raise_closed
        if creator is not None:
            await creator.__aexit__(None, None, None)

    def close_now(self, transports: Transports) -> None:
        """Close the connections of `transports` without waiting."""
        fs = transports.fs
        transports.library.closed = True
        if transports.native is not None:
            transports.native.close_now()
        for session in http_sessions(fs):
            close_now(session)
        fs.set_session = _raise_closed

    def forget(self, transports: Transports) -> None:
        """Drop the sessions of `transports` in a forked child, without warnings."""
        # Unused sockets of the native transport have no effect in the child.
        for session in http_sessions(transports.fs):
            forget(session)


def endpoint_of(fs: AbstractFileSystem) -> str | None:
    """The endpoint in the user's options; ``None`` if they have none."""
    endpoint: str | None = (fs.client_kwargs or {}).get("endpoint_url") or fs.endpoint_url
    return endpoint


def customer_keys(fs: AbstractFileSystem) -> set[str]:
    """The user's keys for encryption on the server (SSE-C), also as botocore sends them.

    A key is text or bytes, and is sent in base64 (S3 User Guide, "Specifying server-side encryption
    with customer-provided keys").
    """
    found: set[str] = set()
    for name, key in (getattr(fs, "s3_additional_kwargs", None) or {}).items():
        if name.endswith("CustomerKey") and isinstance(key, (str, bytes, bytearray)):
            data = key.encode() if isinstance(key, str) else bytes(key)
            found |= {data.decode("latin-1"), base64.b64encode(data).decode()}
    return found


def check_options(fs: AbstractFileSystem) -> None:
    """Check options that s3fs passes on, and that would otherwise fail at the first request.

    Raises `StorageOptionError` for options that neither s3fs nor the aiobotocore session or client
    accepts, for credentials that no header can contain, and for an endpoint that is not a URL or
    has a user name, which libraries would print in their errors.
    """
    for name in ("client_kwargs", "config_kwargs"):
        if not isinstance(getattr(fs, name) or {}, Mapping):
            raise StorageOptionError(f"{name} must be a mapping of options to values")
    endpoint = endpoint_of(fs)
    if endpoint is not None and not _ENDPOINT.fullmatch(str(endpoint)):
        raise StorageOptionError(
            "endpoint_url must be http(s)://host[:port][/path], without a user name or a query; "
            "set credentials as key and secret" + endpoint_advice(str(endpoint))
        )
    for name in ("key", "secret", "token"):
        value = getattr(fs, name, None)
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise StorageOptionError(
                f"{name} must be text without line breaks and control characters; "
                f"got {type(value).__name__}"
            )
    client = set(inspect.signature(botocore.session.Session.create_client).parameters)
    refuse_unknown("client_kwargs has no", fs.client_kwargs or {}, client)
    if fs.config_kwargs:
        config = {*Config.OPTION_DEFAULTS, *inspect.signature(AioConfig.__init__).parameters}
        refuse_unknown("config_kwargs has no", fs.config_kwargs, config)
    session = set(inspect.signature(aiobotocore.session.AioSession.__init__).parameters)
    given = set(getattr(fs, "kwargs", {}))
    if not given <= session:
        known = session | set(inspect.signature(type(fs).__init__).parameters)
        refuse_unknown("s3fs takes no storage option", given, known, S3FS)


def _session(options: Mapping[str, Any]) -> Any:
    """A new session that shares botocore's loader, which caches the description of S3.

    Parsing the description takes 15 times as long as the rest of creating a client.
    """
    session = Session(**options)
    data_path = session.get_config_variable("data_path")
    loader = _loaders.setdefault(data_path, session.get_component("data_loader"))
    session.register_component("data_loader", loader)
    return session


#: botocore's loaders, which cache parsed files, by their search path.
_loaders: dict[str | None, Any] = {}


async def _raise_closed(*_: Any, **__: Any) -> None:
    # s3fs would open a session that is never closed.
    raise RuntimeError("the store was closed while this request was under way")


def _copied(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with all dictionaries copied: botocore modifies those it receives."""
    return {
        name: _copied(value) if isinstance(value, dict) else value
        for name, value in options.items()
    }
