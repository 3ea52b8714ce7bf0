"""Names of temporary files and objects. They are not listed, and cannot be keys."""

from __future__ import annotations

import re
import secrets

__all__ = ["RESERVED_NAME", "is_temporary", "temporary_name"]

_NAME = re.compile(r"\.fsspec-store-[0-9a-f]{16}\.tmp")

#: Why a key cannot have such a name.
RESERVED_NAME = "names of this form are used for values that are being written"


def temporary_name(token: str | None = None) -> str:
    """A new unique name, or the name with a token of 16 hexadecimal digits."""
    return f".fsspec-store-{token or secrets.token_hex(8)}.tmp"


def is_temporary(path: str) -> bool:
    """Whether the last segment of a path is a temporary name."""
    return path.endswith(".tmp") and _NAME.fullmatch(path, path.rfind("/") + 1) is not None
