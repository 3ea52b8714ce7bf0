"""Storage options that a filesystem hands on, and that nobody takes.

Pure; knows no filesystem.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

__all__ = ["refuse_unknown"]


def refuse_unknown(words: str, given: Iterable[str], known: Set[str]) -> None:
    """Refuse options before they fail at the first request, or change nothing unnoticed.

    Parameters
    ----------
    words : str
        The beginning of the message: "s3fs takes no storage option".
    given, known : iterable of str
        Names of options.

    Raises
    ------
    StorageOptionError
        Naming each option that is not known, with the one it may have been meant to be.
    """
    hints = []
    for name in sorted(set(given) - known):
        near = difflib.get_close_matches(name, known, n=1)
        hints.append(f"{name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if hints:
        raise StorageOptionError(f"{words} {', '.join(hints)}")
