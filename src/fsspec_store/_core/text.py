"""Texts of sizes and of keys."""

from __future__ import annotations

__all__ = ["counted", "human_size", "printable"]

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def human_size(size: float) -> str:
    """A size in bytes with a binary unit and without a space: ``16.0KiB``."""
    if size < 1024:
        return f"{size:.0f}B"
    power = 1
    # 1023.95 would be rounded to 1024.0.
    while size / 1024**power >= 1023.95 and power < len(_UNITS):
        power += 1
    return f"{size / 1024**power:.1f}{_UNITS[power - 1]}"


def counted(count: int, noun: str = "key") -> str:
    """A number of things: ``1 key``, ``2,000 keys``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    r"""The text with escapes in place of control characters: ``\n``, ``\x1b``.

    A key may contain characters that end the line, control a terminal, or reorder the text.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
