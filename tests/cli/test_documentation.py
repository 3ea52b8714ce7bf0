"""The pages and the help name every command, option and exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.running import run
from fsspec_store.cli import app as application
from fsspec_store.cli.exit_codes import ExitCode
from fsspec_store.cli.frame import app
from fsspec_store.cli.help import CHECK, LOOK, MOVE, PLACES

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


@pytest.mark.parametrize("name", application.commands.__all__)
def test_help_has_options_in_groups(name: str) -> None:
    shown = run(name, "--help").out
    titles = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    two = name in ("cp", "sync", "verify", "plan", "apply")
    assert titles[0] == "Arguments"
    assert titles[-3 if two else -1 :][0] == "Access"
    assert len(titles) == len(set(titles))
    for parameter in typer.main.get_command(app).commands[name].params:
        assert all(option in shown for option in parameter.opts if option.startswith("--"))


def test_help_has_commands_in_groups_and_exit_codes() -> None:
    shown = run("--help").out
    groups = re.findall(r"\n\n(\S.*):((?:\n  \w+  .*)+)", shown)
    assert [name for name, _ in groups] == [LOOK, MOVE, CHECK, PLACES]
    names = [name for _, lines in groups for name in re.findall(r"^  (\w+) ", lines, re.MULTILINE)]
    assert sorted(names) == application.commands.__all__
    # Each command is described by a whole sentence.
    assert "..." not in shown.partition(f"{LOOK}:")[2]
    codes = re.findall(r"^    (\d+)  +\w", shown, re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in ExitCode]


def test_every_exit_code_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", _PAGE, re.MULTILINE)
    assert [int(code) for code in rows] == [code.value for code in ExitCode]
