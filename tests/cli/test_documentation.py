"""The pages and the help name every command, option and exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from fsspec_store.cli import app as application
from fsspec_store.cli.exit_codes import ExitCode
from fsspec_store.cli.frame import app

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = (_DOCS / "command-line.md").read_text()


@pytest.mark.parametrize("name", application.commands.__all__)
def test_every_option_is_documented(name: str) -> None:
    assert re.search(rf"^\|.*`{name} ", _PAGE, re.MULTILINE)
    pages = "".join(page.read_text() for page in _DOCS.glob("*.md"))
    command = typer.main.get_command(app).commands[name]
    for parameter in command.params:
        # Those of a source and of a target are those of a place.
        names = [re.sub("^--(src|dst)-", "--", name) for name in parameter.opts]
        if names[0].startswith("-"):
            patterns = [rf"(?<![\w-]){name}(?![\w-])" for name in names]
            assert any(re.search(pattern, pages) for pattern in patterns), names


def test_every_exit_code_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", _PAGE, re.MULTILINE)
    assert [int(code) for code in rows] == [code.value for code in ExitCode]
