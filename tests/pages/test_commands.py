"""Commands that pages name and do not run are accepted by the command's parser."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from fsspec_store.cli.app import app
from pages.reader import ROOT

PAGES = ["docs/ci.md", "docs/from-other-tools.md"]

COMMANDS = sorted(
    {
        found
        for page in PAGES
        for found in re.findall(r"`(fsspec-store [^`]+)`", (ROOT / page).read_text())
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_accepted(line: str) -> None:
    program, name, *words = shlex.split(line)
    group: Any = typer.main.get_command(app)
    with group.make_context(program, [name, *words]) as context:
        parsed = group.get_command(context, name).make_context(name, words, parent=context)
    assert parsed.params


def test_many_commands_are_named() -> None:
    assert len(COMMANDS) > 30
