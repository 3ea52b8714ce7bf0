"""The code blocks of a page, in the order of the page.

Knows Markdown's fences. Does not know what a block does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

_BLOCK = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One block: what language it says it is, and the file that it is shown as, if any."""

    language: str
    title: str | None
    text: str
    #: Of its first line, as editors count.
    line: int

    def changed(self, change: Callable[[str], str]) -> Block:
        return replace(self, text=change(self.text))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(
            language=found["language"],
            title=found["title"],
            text=found["text"],
            line=text.count("\n", 0, found.start("text")) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]
