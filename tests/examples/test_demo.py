from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import array_reader
import pytest
from pages.terminal import WIDTH, at_terminal, comparable

SCRIPT = Path(array_reader.__file__).with_name("demo.py")
README = SCRIPT.parents[1] / "README.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def lines(folder: Path) -> list[str]:
    """What a person sees, but for empty lines and durations."""
    command = f"'{sys.executable}' -B '{SCRIPT}'; echo \"exit code $?\""
    return comparable(at_terminal(command, folder, os.environ))


def test_prints_what_the_readme_shows(lines: list[str]) -> None:
    [shown] = re.findall(r"The output is\n\n```\n(.*?)```", README.read_text(), re.DOTALL)
    assert lines == [*comparable(shown), "exit code 0"]


def test_is_short(lines: list[str]) -> None:
    assert len(lines) <= 35
    assert max(map(len, lines)) <= WIDTH


def test_leaves_nothing_behind(lines: list[str], folder: Path) -> None:
    assert lines[-1] == "exit code 0"
    assert list(folder.iterdir()) == []


def test_fails_on_a_mismatch(folder: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import demo
demo.FIRST_SHARD = "sharded/c/1/0/0"
demo.main()
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "MISMATCH: the shard's first bytes\n")
