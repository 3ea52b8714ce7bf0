"""Which keys a transfer includes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Selection"]


#: Characters that mean something in a character class, or may in later releases of Python.
_OPERATORS = re.compile(r"[\\\[&~|]")


class Selection:
    """Selects keys by globs.

    ``*`` matches within a segment of a key, ``**`` any number of segments, ``?`` one character and
    ``[...]`` one of several. A pattern without ``/`` matches the last segment of a key at any
    depth.

    Parameters
    ----------
    include : iterable of str
        Keys that match none of these are left out. Without patterns all keys are included.
    exclude : iterable of str
        Keys that match one of these are left out.

    Raises
    ------
    TypeError
        When a pattern is not ``str``.
    ValueError
        When a pattern is empty, or has an invalid range of characters: ``[z-a]``.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self.include = _checked("include", include)
        self.exclude = _checked("exclude", exclude)
        self._includes = [_compiled(pattern).fullmatch for pattern in self.include]
        self._excludes = [_compiled(pattern).fullmatch for pattern in self.exclude]

    @property
    def is_all(self) -> bool:
        """Whether every key is included."""
        return not (self._includes or self._excludes)

    def __contains__(self, key: str) -> bool:
        if self._includes and not any(match(key) for match in self._includes):
            return False
        return not any(match(key) for match in self._excludes)


def _checked(option: str, patterns: Iterable[str]) -> tuple[str, ...]:
    if isinstance(patterns, str):
        patterns = (patterns,)
    found = tuple(patterns)
    for pattern in found:
        if not isinstance(pattern, str):
            raise TypeError(f"{option} must have patterns, got {pattern!r}")
        if not pattern:
            raise ValueError(f"{option} must not have an empty pattern")
    return found


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    glob = pattern if "/" in pattern or pattern == "**" else f"**/{pattern}"
    try:
        return re.compile("".join(_translated(glob.removeprefix("/"))), re.DOTALL)
    except re.error as error:
        raise ValueError(f"invalid pattern {pattern!r}: {error.msg}") from error


def _translated(pattern: str) -> list[str]:
    parts: list[str] = []
    index = 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            parts.append("(?:[^/]+/)*")
            index += 3
        elif pattern.startswith("**", index):
            parts.append(".*")
            index += 2
        elif pattern[index] == "*":
            parts.append("[^/]*")
            index += 1
        elif pattern[index] == "?":
            parts.append("[^/]")
            index += 1
        elif pattern[index] == "[" and (end := pattern.find("]", index + 2)) > 0:
            inside = _OPERATORS.sub(r"\\\g<0>", pattern[index + 1 : end])
            negated = inside[0] in "!^"
            # A class that is not negated must not match the separator either.
            parts.append(f"(?!/)[{'^' if negated else ''}{inside[negated:]}]")
            index = end + 1
        else:
            parts.append(re.escape(pattern[index]))
            index += 1
    return parts
