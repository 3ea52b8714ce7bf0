"""Errors and suggestions for unknown storage options. Knows no filesystem."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from ..errors import StorageOptionError
from .option_names import STORE_PARAMETERS, normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

__all__ = ["endpoint_advice", "refuse_unknown"]

#: A host, optionally with port and path, without parts that may be secret.
_HOST = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.\-]+)(?P<port>:\d{1,5})?(/[\w.\-/]*)?", re.ASCII
)
#: Minimum similarity of a misspelt name (`difflib`).
_NEAR = 0.85
_PRIVATE_HOST = re.compile(r"localhost|127\..*|\[::1\]|10\..*|192\.168\..*|[\w\-]+")


def refuse_unknown(
    message: str, given: Iterable[str], known: Set[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """Refuse unknown options, which would fail at the first request or be ignored silently.

    Raises `StorageOptionError` with each unknown option, and the option that was probably meant,
    which may be in ``elsewhere``, a table of `option_names`. The message starts with ``message``:
    "s3fs takes no storage option".
    """
    hints = []
    for name in sorted(set(given) - known):
        suggestion = _suggestion(name, known, elsewhere or {})
        hints.append(f"{name!r}" + (f" (did you mean {suggestion}?)" if suggestion else ""))
    if hints:
        raise StorageOptionError(f"{message} {', '.join(hints)}")


def endpoint_advice(endpoint: str) -> str:
    """Advice for an endpoint without a scheme; ``""`` when it is not a host."""
    match = _HOST.fullmatch(endpoint)
    if not match or not (match["port"] or "." in match["host"] or match["host"] == "localhost"):
        return ""
    # Self-hosted services on other ports seldom use TLS.
    private = _PRIVATE_HOST.fullmatch(match["host"]) or match["port"] not in (None, ":443")
    return f"; write {'http' if private else 'https'}://{endpoint}"


def _suggestion(name: str, known: Set[str], elsewhere: Mapping[str, str]) -> str:
    key = normalized(name)
    if key in elsewhere:
        return elsewhere[key]
    for other in sorted(known):
        if normalized(other) == key:
            return repr(other)
    if key in STORE_PARAMETERS:
        return STORE_PARAMETERS[key]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    if near:
        return repr(near[0])
    for table in (elsewhere, STORE_PARAMETERS):
        similar = difflib.get_close_matches(key, table, n=1, cutoff=_NEAR)
        if similar:
            return table[similar[0]]
    return ""
