"""A browser, and what happens in its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.chromium import chromium_browser
from servers.fixtures import or_skip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Opened:
    """A page, the URLs it requested, and what its console shows."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def ready(self) -> Page:
        """The page, when the script has replaced each picture of an open section."""
        self.page.wait_for_function(
            "() => !document.querySelector('details[open] figure.map:not([data-ready])')"
        )
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with or_skip(chromium_browser()) as found:
        yield found


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """A function that opens a document; its options are those of a browser context."""
    contexts = []

    def opened(document: str, **options: Any) -> Opened:
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(document, encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        found = Opened(context.new_page())
        context.on("request", lambda request: found.requests.append(request.url))
        found.page.on("console", lambda message: found.messages.append(message.text))
        found.page.on("pageerror", lambda error: found.messages.append(str(error)))
        found.page.goto(path.as_uri())
        return found

    yield opened
    for context in contexts:
        context.close()
