"""Reads the configuration of a gcsfs filesystem: endpoint, billed project, session options. No I/O.

The filesystem itself sends no requests. Its timeouts, retries, block sizes and listing caches have
no effect: the store has its own retry policy and no cache. The store verifies every write, so
``consistency`` has no effect either.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import aiohttp
from gcsfs import core

from ..._http.limiter import MAX_IN_FLIGHT
from ...errors import StorageOptionError
from ..option_names import GCSFS
from ..options import endpoint_advice, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "billed_project",
    "check_names",
    "check_options",
    "endpoint",
    "session_maker",
    "supports_native",
]

_ENDPOINT = re.compile(r"https?://[^@?#\s]+")
#: Options that fsspec and gcsfs accept without naming them in a signature.
_UNNAMED_OPTIONS = frozenset(
    {
        "batch_size",
        "listings_expiry_time",
        "max_paths",
        "memmove_max_workers",
        "retry_initial",
        "retry_maximum",
        "retry_multiplier",
        "retry_timeout",
        "skip_instance_cache",
        "use_listings_cache",
    }
)


def endpoint(fs: Any) -> str:
    """The service's URL, without a trailing ``/``.

    A user name in it is refused: libraries print the URL in their errors.
    """
    location = str(fs._location).rstrip("/")
    if not _ENDPOINT.fullmatch(location):
        raise StorageOptionError(
            "endpoint_url (or STORAGE_EMULATOR_HOST) must be http(s)://host[:port], without a user "
            "name or a query; set credentials as token" + endpoint_advice(location)
        )
    return location


def billed_project(fs: Any) -> str | None:
    """The project that is billed for requests, ``None`` for the bucket's own project."""
    if not fs.requester_pays:
        return None
    project = fs.requester_pays if isinstance(fs.requester_pays, str) else fs.project
    if not project:
        raise StorageOptionError(
            "requester_pays=True needs a project: give project, or its name as requester_pays"
        )
    return str(project)


def check_options(fs: Any) -> None:
    """Raise `StorageOptionError` for options that are ignored or fail at the first request."""
    check_names(type(fs), fs.storage_options)
    known = _parameters(aiohttp.ClientSession)
    refuse_unknown("session_kwargs: an aiohttp session takes no", fs.session_kwargs, known)
    if "connector" in fs.session_kwargs:
        raise StorageOptionError(
            "session_kwargs: a connector belongs to one event loop, and a store serves several; "
            "for a proxy give trust_env or proxy"
        )


def check_names(cls: type[Any], given: Iterable[str]) -> None:
    """Raise `StorageOptionError` for names that gcsfs ignores, before it looks up credentials."""
    # A class of another package may accept options without naming them.
    if cls.__module__.partition(".")[0] == "gcsfs":
        known = _parameters(*cls.__mro__) | _UNNAMED_OPTIONS
        refuse_unknown("gcsfs takes no storage option", given, known, GCSFS)


def session_maker(fs: Any) -> Callable[[], aiohttp.ClientSession]:
    """Return a function that makes a session for the running loop with ``session_kwargs``."""
    options = dict(fs.session_kwargs)
    # Older releases of gcsfs do not have this option.
    presents_certificate = getattr(fs, "_use_client_cert", False)
    uses_tls = endpoint(fs).startswith("https://")

    def make() -> aiohttp.ClientSession:
        tls = {"ssl": core._client_cert_ssl_context()} if presents_certificate and uses_tls else {}
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, **tls), **options
        )

    return make


def supports_native(fs: Any) -> bool:
    """Whether the native transport supports the configuration."""
    return (
        not fs.session_kwargs
        and not getattr(fs, "_use_client_cert", False)
        and endpoint(fs).isascii()
    )


def _parameters(*classes: type) -> set[str]:
    return {
        name
        for cls in classes
        if "__init__" in vars(cls)
        for name, parameter in inspect.signature(vars(cls)["__init__"]).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
