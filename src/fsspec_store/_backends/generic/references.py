"""Values that are in other files, by the user's set of references (kerchunk's format).

Knows fsspec's ``ReferenceFileSystem``: its ``info`` gives the length of a text for a value's size,
and its errors do not tell a missing reference from a missing file. Reads no values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Calls

__all__ = ["is_referred", "is_size_known"]


async def is_referred(calls: Calls, path: str) -> bool:
    """Whether the value is in another file."""
    if not calls.facts.refers:
        return False
    references = calls.fs.references
    if isinstance(references, dict):
        return _refers(references.get(path))
    # Those of large sets are fetched when they are looked up.
    return _refers(await in_thread(_looked_up, references, path))


def is_size_known(calls: Calls, path: str) -> bool:
    """Whether the size listed of a value is its own, as far as can be told without fetching."""
    if not calls.facts.refers:
        return True
    references = calls.fs.references
    return isinstance(references, dict) and _refers(references.get(path))


def _refers(reference: Any) -> bool:
    # A place is a list; the value itself is text.
    return isinstance(reference, (list, tuple))


def _looked_up(references: Mapping[str, Any], path: str) -> Any:
    try:
        return references[path]
    except KeyError:
        return None
