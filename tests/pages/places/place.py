"""What differs between a page's words and the place where the test runs them.

Knows neither pages nor servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Place:
    """Where a page's examples run."""

    environment: Mapping[str, str] = field(default_factory=dict)
    #: What the page says, and what to read in its place.
    words: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        for word, ours in self.words.items():
            text = text.replace(word, ours)
        return text
