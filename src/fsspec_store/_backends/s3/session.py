"""The user's s3fs filesystem, made again for each event loop, and its sessions closed.

s3fs binds its session to the loop of the first call and shares instances between callers, so a
store neither uses nor closes the instance it was given: it makes its own from the same arguments.
"""

from __future__ import annotations

import base64
import inspect
import re
from typing import TYPE_CHECKING, Any

import aiobotocore.session
import botocore.session
from aiobotocore.config import AioConfig
from botocore.config import Config

from ..._http.aiohttp_sessions import close_now, end_reading, forget
from ..._http.credential_lookups import LookupRate
from ...errors import StorageOptionError
from ..option_names import S3FS
from ..options import endpoint_advice, refuse_unknown
from .bounded import session_config
from .credentials import Session
from .transports import Transports, http_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

    from ..._http.retry_policy import RetryPolicy

_ENDPOINT = re.compile(r"https?://[^@?#]+")

__all__ = ["S3Filesystems", "check_options", "customer_keys", "endpoint_of"]


class S3Filesystems:
    """Asynchronous twins of a user's s3fs filesystem, each for one event loop.

    Parameters
    ----------
    fs : S3FileSystem
        As the user configured it.
    policy : RetryPolicy
        Its timeouts. Retries are the store's own: a twin has none, neither s3fs's nor botocore's.
    is_native : bool
        Whether the native transport may send requests.
    max_connections : int
        Connections a twin keeps, unless the user's ``config_kwargs`` say otherwise. botocore's
        default of 10 would leave most of a store's concurrent requests waiting in line.
    """

    def __init__(
        self, fs: AbstractFileSystem, policy: RetryPolicy, *, is_native: bool, max_connections: int
    ) -> None:
        self._fs = fs
        self._policy = policy
        self._is_native = is_native
        is_told = fs.anon or fs.key or "aws_access_key_id" in (fs.client_kwargs or {})
        #: For credentials that are found elsewhere than in the user's options.
        self._rate = None if is_told else LookupRate()
        self._own_config: dict[str, Any] = {
            "max_pool_connections": max_connections,
            **session_config(),
        }
        if "response_checksum_validation" in Config.OPTION_DEFAULTS:
            # Some services send a whole object's checksum with a part of it: asked for where whole
            # objects are read, and not here for all.
            self._own_config["response_checksum_validation"] = "when_required"
        self._policy_config = {
            "connect_timeout": policy.connect_timeout,
            "read_timeout": policy.timeout,
            "retries": {"total_max_attempts": 1, "mode": "standard"},
        }

    def make(self) -> Transports:
        """Make another filesystem with the same arguments."""
        options = _copied(self._fs.storage_options)
        options.pop("loop", None)
        options["asynchronous"] = True
        options["skip_instance_cache"] = True
        config = options.get("config_kwargs") or {}
        options["config_kwargs"] = {**self._own_config, **config, **self._policy_config}
        if options.get("session") is None:
            options["session"] = _session(self._fs.kwargs)
        fs = type(self._fs)(*self._fs.storage_args, **options)
        # How many attempts s3fs makes of a request.
        fs.retries = 1
        return Transports(fs, self._policy, is_native=self._is_native, rate=self._rate)

    async def aclose(self, transports: Transports) -> None:
        """Close its sessions, and await the connections' end."""
        fs = transports.fs
        transports.is_over = True
        if transports.native is not None:
            await transports.native.aclose()
        for session in http_sessions(fs):
            end_reading(session)
        creator, fs._s3 = getattr(fs, "_s3creator", None), None
        fs.set_session = _refuse
        if creator is not None:
            await creator.__aexit__(None, None, None)

    def close_now(self, transports: Transports) -> None:
        """Close its connections at once."""
        fs = transports.fs
        transports.is_over = True
        if transports.native is not None:
            transports.native.close_now()
        for session in http_sessions(fs):
            close_now(session)
        fs.set_session = _refuse

    def forget(self, transports: Transports) -> None:
        """Silence it in a forked child."""
        # The sockets of the native transport are idle unless they are used.
        for session in http_sessions(transports.fs):
            forget(session)


def endpoint_of(fs: AbstractFileSystem) -> str | None:
    """The endpoint the user gave, ``None`` where s3fs finds it elsewhere."""
    endpoint: str | None = (fs.client_kwargs or {}).get("endpoint_url") or fs.endpoint_url
    return endpoint


def customer_keys(fs: AbstractFileSystem) -> set[str]:
    """The keys that the user gave for encryption on the server, also as botocore sends them.

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
    """Refuse the options that s3fs only hands on, and that would fail at the first request.

    Raises
    ------
    StorageOptionError
        Naming each option that neither s3fs nor the aiobotocore session takes, or the client, or an
        endpoint that is no URL, or that holds a user name: libraries print it in their errors.
    """
    endpoint = endpoint_of(fs)
    if endpoint is not None and not _ENDPOINT.fullmatch(str(endpoint)):
        raise StorageOptionError(
            "endpoint_url is http(s)://host[:port][/path], without a user name or a query; "
            "credentials are given as key and secret" + endpoint_advice(str(endpoint))
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
    """The session that s3fs makes: it reads the credentials again, but not S3's description.

    Parsing that takes fifteen times as long as all else that makes a client.
    """
    session = Session(**options)
    data_path = session.get_config_variable("data_path")
    loader = _loaders.setdefault(data_path, session.get_component("data_loader"))
    session.register_component("data_loader", loader)
    return session


#: botocore's loaders, which keep what they have read, by where they look for it.
_loaders: dict[str | None, Any] = {}


async def _refuse(*_: Any, **__: Any) -> None:
    # s3fs would open a session that is never closed.
    raise RuntimeError("the store was closed while this request was under way")


def _copied(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with dictionaries of their own: botocore rewrites the ones it is given."""
    return {
        name: _copied(value) if isinstance(value, dict) else value
        for name, value in options.items()
    }
