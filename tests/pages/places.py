"""Where each page's examples run: the servers they speak of, with what they expect to find there.

Knows the pages and the servers. A page that needs nothing is not named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest
from servers.fixtures import or_skip
from servers.minio import find_minio
from servers.ports import port_block


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


@contextmanager
def anywhere(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Nothing is needed."""
    yield Place()


@contextmanager
def start_here(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The page starts its own servers, on ports that everybody knows."""
    with or_skip(minio_program()) as minio, port_block() as port:
        yield Place(
            words={
                ".tools/bin/minio": minio,
                "127.0.0.1:9000": f"127.0.0.1:{port}",
                "8000": str(port + 1),
            }
        )


@contextmanager
def minio_program() -> Iterator[str]:
    yield find_minio()


PLACES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[Place]]] = {
    "docs/index.md": start_here,
}
