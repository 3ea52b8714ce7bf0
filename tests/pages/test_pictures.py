"""The pictures of the command show what it prints, and need nothing from the network."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pages.pictures import COMMANDS, IMAGES, pictures, words
from pages.terminal import comparable

_BAR = re.compile(r"[\d,]+ of [\d,]+\+? keys.*━")


@pytest.mark.slow
def test_pictures_show_what_the_commands_print(tmp_path: Path) -> None:
    made = dict(pictures(tmp_path))
    assert made.keys() == COMMANDS.keys()
    for name, svg in made.items():
        shown = words((IMAGES / f"terminal-{name}.svg").read_text())
        assert _without_bars(shown) == _without_bars(words(svg)), "run: make pictures"


def test_a_picture_shows_the_progress_bar() -> None:
    shown = words((IMAGES / "terminal-sync.svg").read_text())
    assert [bool(_BAR.match(line)) for line in shown] == [False, True, False]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_picture_refers_to_no_file(name: str) -> None:
    root = ElementTree.parse(IMAGES / f"terminal-{name}.svg").getroot()
    texts = [each.text or "" for each in root.iter()]
    addresses = [value for each in root.iter() for value in each.attrib.values()]
    assert not [text for text in texts if "url(" in text or "@import" in text]
    assert not [value for value in addresses if "://" in value]


def _without_bars(lines: list[str]) -> list[str]:
    return [line for line in comparable("\n".join(lines)) if not _BAR.match(line)]
