"""Messages of wrong usage: typed options and values in plain words.

The phrases that are replaced are those of Typer with pydantic, and of Click before it.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

__all__ = ["HINTS", "usage_text"]

_RECURSIVE = dict.fromkeys(
    ("-r", "-R", "--recursive"), "is not needed: every key below the URL is used"
)
_HUMAN = {"-h": "is not needed: sizes have units, and --bytes shows bytes"}
#: Options of other tools, by command, and what to do here.
HINTS: dict[str, dict[str, str]] = {
    "sync": {"--delete": "is not needed: sync always deletes; --max-delete bounds it"} | _RECURSIVE,
    "cp": {"--delete": "is not possible: use sync"} | _RECURSIVE,
    "verify": _RECURSIVE,
    "plan": _RECURSIVE,
    "ls": {"-R": "is -r here", **_HUMAN},
    "rm": dict.fromkeys(("-f", "--force"), "is --yes here"),
    "du": {
        **dict.fromkeys(("-s", "--summarize"), "is --depth 0 here"),
        **_HUMAN,
    },
}
_PLAIN = (
    (r"(?:Value error, )?('[^']*') is not one of (.*?)\.?", r"must be one of \2, not \1"),
    (r"Input should be greater than or equal to (\S+)", r"must be at least \1"),
    (r"Input should be less than or equal to (\S+)", r"must be at most \1"),
    (
        r"Input should be a valid integer.*|'[^']*' is not a valid integer\.?",
        "must be a whole number",
    ),
    (r"\S+ is not in the range x>=(\d+)\.?", r"must be at least \1"),
    (r"\S+ is not in the range (\d+)<=x<=(\d+)\.?", r"must be \1 to \2"),
)


def usage_text(error: Any, command: str) -> str:
    """The message of an error of Typer.

    Parameters
    ----------
    error : typer.UsageError
        It has no public class.
    command : str
        Name of the command.
    """
    option: str = getattr(error, "option_name", "")
    hint = HINTS.get(command, {}).get(option)
    if hint is not None:
        return f"{option} {hint}"
    if possibilities := getattr(error, "possibilities", None):
        (nearest,) = get_close_matches(option, possibilities, n=1, cutoff=0)
        return f"{error.message.rstrip('.')}; did you mean {nearest}?"
    start, colon, value = str(error.format_message()).partition(": ")
    for phrase, plain in _PLAIN:
        if found := re.fullmatch(phrase, value, re.DOTALL):
            return f"{start}{colon}{found.expand(plain)}"
    return start + colon + value
