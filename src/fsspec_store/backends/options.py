"""Storage options that a filesystem hands on, and that nobody takes.

Pure; knows no filesystem.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..errors import StorageOptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

__all__ = ["refuse_unknown"]


def refuse_unknown(
    words: str, given: Iterable[str], known: Set[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """Refuse options before they fail at the first request, or change nothing unnoticed.

    Parameters
    ----------
    words : str
        The beginning of the message: "s3fs takes no storage option".
    given, known : iterable of str
        Names of options.
    elsewhere : mapping, optional
        What to write instead of a name that is not known.

    Raises
    ------
    StorageOptionError
        Naming each option that is not known, with the one it may have been meant to be.
    """
    hints = []
    for name in sorted(set(given) - known):
        near = [repr(other) for other in difflib.get_close_matches(name, known, n=1)]
        meant = (elsewhere or {}).get(name) or "".join(near)
        hints.append(f"{name!r}" + (f" (did you mean {meant}?)" if meant else ""))
    if hints:
        raise StorageOptionError(f"{words} {', '.join(hints)}")
