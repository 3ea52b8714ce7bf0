"""Where each page's examples run: the servers they speak of, with what they expect to find there.

Knows the pages and the servers. A page that needs nothing is not named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest


@dataclass(frozen=True)
class Place:
    """What differs between a page's words and where the test runs them."""

    environment: Mapping[str, str] = field(default_factory=dict)
    #: What the page says, and what to read in its place.
    words: Mapping[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        for word, ours in self.words.items():
            text = text.replace(word, ours)
        return text


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {}
