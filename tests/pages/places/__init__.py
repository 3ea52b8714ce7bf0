"""Where each page's examples run: the servers they speak of, with what they expect to find there.

Knows which page needs what. A page that needs nothing is not named here. Each module prepares the
pages of one service, or one page.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import adding, migrating, troubleshooting
from .place import Place

__all__ = ["PLACES", "Place"]

PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "docs/adding-a-backend.md": adding.prepare,
    "docs/migrating.md": migrating.prepare,
    "docs/troubleshooting.md": troubleshooting.prepare,
}
