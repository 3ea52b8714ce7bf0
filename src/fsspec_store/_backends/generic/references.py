"""References to parts of other files (kerchunk's format).

For an inline value, the ``info`` of fsspec's ``ReferenceFileSystem`` has the length of its text as
the size. Its errors do not distinguish a missing reference from a missing file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .methods import Methods

__all__ = ["is_reference", "is_size_known"]


async def is_reference(methods: Methods, path: str) -> bool:
    """Whether the value is a reference to another file."""
    if not methods.quirks.references:
        return False
    references = methods.fs.references
    if isinstance(references, dict):
        return _refers(references.get(path))
    # References in Parquet files are read when they are looked up.
    return _refers(await in_thread(_looked_up, references, path))


def is_size_known(methods: Methods, path: str) -> bool:
    """Whether the listed size of a value is known to be right, without I/O."""
    if not methods.quirks.references:
        return True
    references = methods.fs.references
    return isinstance(references, dict) and _refers(references.get(path))


def _refers(reference: Any) -> bool:
    # A reference is a list, an inline value is text.
    return isinstance(reference, (list, tuple))


def _looked_up(references: Mapping[str, Any], path: str) -> Any:
    try:
        return references[path]
    except KeyError:
        return None
