"""Every block of every page does what the page says, from the page's top to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages.blocks import blocks_of
from pages.places import PLACES, Place
from pages.reader import ROOT, reader

PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    blocks = blocks_of(ROOT / page)
    prepare = PLACES.get(page)
    place = prepare(request) if prepare else Place()
    with reader(tmp_path / "home", place.environment) as somebody:
        printed = somebody.follow(page, [block.changed(place.here) for block in blocks])
    assert printed.keys() >= {block.line for block in blocks if block.language == "python"}


def test_no_place_is_prepared_for_a_page_that_is_not_there() -> None:
    assert set(PLACES) <= set(PAGES)
