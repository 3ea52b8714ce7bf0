"""Texts of sizes and of keys."""

from __future__ import annotations

from .._core.text import counted, human_size, printable

__all__ = ["counted", "human_size", "printable", "size_text"]


def size_text(size: int | None, *, in_bytes: bool) -> str:
    """A size in bytes or with a unit; ``-`` for an unknown one."""
    if size is None:
        return "-"
    return str(size) if in_bytes else human_size(size)
