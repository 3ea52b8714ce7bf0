"""Chromium without a window, driven by Playwright.

Knows where to look for a browser. Does not know how one is installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from servers.errors import ServerUnavailable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Those of tools/install_chromium.sh.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)


@contextmanager
def chromium_browser() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ServerUnavailable(
            "Playwright is missing; run: python -m pip install playwright"
        ) from None
    # While it is open, the thread has a running event loop: no asynchronous test may run.
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise ServerUnavailable("Chromium is missing: not on the PATH; run: make chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()
