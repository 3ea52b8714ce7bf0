"""Temporary files that killed writers left below a local folder.

Runs in a thread. Links to folders are not followed: what they lead to is not the store's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

from ..leftovers import TEMPORARY, Leftover
from .temporary import is_temporary

__all__ = ["temporary_files"]


def temporary_files(directory: str) -> list[Leftover]:
    """Files of temporary names; ``directory`` ends in ``/``."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            # It may have become the value meanwhile.
            with suppress(FileNotFoundError):
                if is_temporary(name):
                    modified = datetime.fromtimestamp(os.lstat(path).st_mtime, UTC)
                    found.append(Leftover(path, TEMPORARY, modified))
    return found
