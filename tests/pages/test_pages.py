"""Every block of every page does what the page says, from the page's top to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages.blocks import blocks_of
from pages.places import PLACES, Place
from pages.reader import ROOT, reader

#: Whose blocks can be run again, one by one, as a new user does.
FIRST_PAGES = {"README.md", "docs/index.md", "docs/zarr.md"}

#: The page that adds files to the package.
CHANGES_THE_CHECKOUT = {"docs/adding-a-backend.md"}

PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    blocks = blocks_of(ROOT / page)
    prepare = PLACES.get(page)
    place = prepare(request) if prepare else Place()
    times = 2 if page in FIRST_PAGES else 1
    with reader(tmp_path / "home", place.environment, times) as somebody:
        printed = somebody.follow(page, [block.changed(place.here) for block in blocks])
        files = {block.title for block in blocks}
        assert page in CHANGES_THE_CHECKOUT or set(somebody.left_behind()) <= files
    assert printed.keys() >= {block.line for block in blocks if block.language == "python"}


def test_every_page_that_is_named_is_there() -> None:
    assert FIRST_PAGES | CHANGES_THE_CHECKOUT | set(PLACES) <= set(PAGES)
