"""Where each page's examples run: the servers they speak of, with what they expect to find there.

Knows which page needs what. A page that needs nothing is not named here. Each module prepares the
pages of one service, or one page.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from . import adding, azure, google, migrating, others, publishing, s3, start, troubleshooting, web
from .place import Place

__all__ = ["PLACES", "Place"]

PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "docs/adding-a-backend.md": adding.prepare,
    "docs/backends/azure.md": azure.prepare,
    "docs/backends/google.md": google.prepare,
    "docs/backends/http.md": web.prepare,
    "docs/backends/index.md": s3.prepare_configuration,
    "docs/backends/others.md": others.prepare,
    "docs/backends/s3-compatible.md": s3.prepare_compatible,
    "docs/backends/s3.md": s3.prepare_amazon,
    "docs/index.md": start.prepare,
    "docs/migrating.md": migrating.prepare,
    "docs/transfers.md": publishing.prepare,
    "docs/troubleshooting.md": troubleshooting.prepare,
}
