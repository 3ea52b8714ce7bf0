"""Who meets an error finds it on the page of error messages."""

from __future__ import annotations

import re

import pytest

from fsspec_store import errors
from pages.reader import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
HEADINGS = re.findall(r"^##+ (\w+): .+$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_a_section(name: str) -> None:
    assert HEADINGS.count(name) == 1


def test_the_table_names_every_error_and_what_else_it_is() -> None:
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(#[\w-]+\) \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert rows.keys() | {"StoreError"} == set(errors.__all__)
    for name, base in rows.items():
        bases = {cls.__name__ for cls in getattr(errors, name).__bases__}
        assert base in bases, name
