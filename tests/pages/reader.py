"""Somebody who follows a page from its top to its end, in a home and a folder of their own.

Knows what to do with a block of each kind. Does not know the pages, nor any server.

- ``python`` blocks run in one process, up to the next block that changes what a process finds;
- a block with a title is the file of that name;
- ``sh`` lines: ``export`` holds for what follows, ``pip install`` and ``make`` are checked to name
  what there is, a line that ends in ``&`` runs until the page is read, and others run;
- ``console`` blocks show a terminal: each line that begins with ``$`` is run, and prints the lines
  below it, apart from durations;
- a ``text`` block is what the one before it prints.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from pages.blocks import Block
from pages.terminal import at_terminal, comparable

ROOT = Path(__file__).parents[2]

_RUN_BLOCKS = Path(__file__).with_name("run_blocks.py")

#: Shown, and neither run nor written.
_NOT_RUN = {"", "mermaid", "text"}

_SECONDS = 60


class Reader:
    """Follows pages.

    Parameters
    ----------
    home : pathlib.Path
        A folder that is not there yet: the reader's home; work is done in ``work`` below it.
    environment : mapping
        Variables beside ``PATH`` and ``HOME``.
    times : int, optional
        How often each block is followed before the next one; programs that go on running are
        started once.
    """

    def __init__(self, home: Path, environment: Mapping[str, str], times: int = 1) -> None:
        self._home = home
        self._times = times
        self._work = home / "work"
        self._work.mkdir(parents=True, exist_ok=True)
        # What is left here is what `git status` would show in a checkout.
        shutil.copy(ROOT / ".gitignore", self._work)
        self._git("init", "--quiet")
        self._git("add", ".gitignore")
        beside_python = str(Path(sys.executable).parent)
        self._environment = {
            "PATH": os.pathsep.join([beside_python, os.environ["PATH"]]),
            "HOME": str(home),
            # zarr says so of every consolidated hierarchy of format 3, on any store.
            "PYTHONWARNINGS": "ignore:Consolidated metadata is currently not part",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            **environment,
        }
        self._background: list[subprocess.Popen[bytes]] = []

    def follow(self, page: str, blocks: Iterable[Block]) -> dict[int, str]:
        """Do what the blocks say, and return what each printed, by its line.

        A block that is followed more than once prints the same each time.
        """
        waiting: list[Block] = []
        outputs: dict[int, str] = {}
        blocks = [*blocks]
        for block in blocks:
            if block.title is None and block.language == "python":
                waiting.append(block)
            elif _installs_only(block):
                self._do(block)
            elif block.title is not None or block.language not in _NOT_RUN:
                outputs.update(self._run_python(page, waiting))
                waiting = []
                outputs[block.line] = self._do_again(block)
        outputs.update(self._run_python(page, waiting))
        for before, after in pairwise(blocks):
            if after.language == "text" and after.title is None and before.line in outputs:
                printed = outputs[before.line]
                assert printed == after.text, f"{page}:{before.line} prints\n{printed}"
        return outputs

    def left_behind(self) -> list[str]:
        """Files that were made in the checkout, and that git is not told to ignore."""
        status = self._git("status", "--porcelain", "--untracked-files=all")
        return [line[3:] for line in status.splitlines() if line.startswith("??")]

    def _git(self, *command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=self._work, check=True, capture_output=True, text=True
        )
        return done.stdout

    def _do_again(self, block: Block) -> str:
        outputs = {self._do(block) for _ in range(self._times)}
        assert len(outputs) == 1, f"it does not print the same again: {outputs}"
        return outputs.pop()

    def _do(self, block: Block) -> str:
        if block.title is not None:
            path = self._work / Path(block.title.replace("~", str(self._home), 1))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            return ""
        if block.language == "console":
            return self._do_console(block)
        assert block.language == "sh", f"nobody knows how to follow {block.language!r}"
        lines = block.text.replace("\\\n", " ").splitlines()
        return "".join(self._do_line(line) for line in lines if line and line[0] != "#")

    def _do_console(self, block: Block) -> str:
        outputs = []
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            output = at_terminal(line, self._work, self._environment)
            assert comparable(output) == comparable(shown), f"{line}\n{output}"
            outputs.append(output)
        return "".join(outputs)

    def _do_line(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        match words:
            case ["export", *settings]:
                for setting in settings:
                    name, _, value = setting.partition("=")
                    self._environment[name] = os.path.expandvars(value)
            case ["pip", "install", *what]:
                _check_extras(what)
            case ["make", *targets]:
                _check_targets(targets)
            case [*_, "&"]:
                self._start(line.rstrip("& "))
            case _:
                return self._run(["bash", "-euo", "pipefail", "-c", line]).stdout
        return ""

    def _run(
        self, command: list[str], given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            input=given,
            cwd=self._work,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def _run_python(self, page: str, blocks: list[Block]) -> dict[int, str]:
        if not blocks:
            return {}
        programs = [(block.line, block.text) for block in blocks]
        command = [sys.executable, str(_RUN_BLOCKS), page, str(self._times)]
        done = self._run(command, json.dumps(programs))
        # Nothing is to be complained of, nor at exit.
        assert done.stderr == "", done.stderr
        outputs: dict[int, str] = {}
        for line, output in json.loads(done.stdout):
            assert outputs.setdefault(line, output) == output, f"{page}:{line} printed\n{output}"
        return outputs

    def _start(self, command: str) -> None:
        """Start what is to go on, and wait until it listens where the command says."""
        if any(program.args == ["bash", "-c", f"exec {command}"] for program in self._background):
            return
        found = re.search(r"\b(\d{4,5})\b", command)
        assert found, f"on which port: {command}"
        program = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._work,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._background.append(program)
        _wait_until(lambda: _listens(int(found[1])), program)

    def leave(self) -> None:
        """Stop what still runs."""
        for program in self._background:
            program.send_signal(signal.SIGTERM)
            program.wait(_SECONDS)


@contextmanager
def reader(home: Path, environment: Mapping[str, str], times: int = 1) -> Iterator[Reader]:
    somebody = Reader(home, environment, times)
    try:
        yield somebody
    finally:
        somebody.leave()


def _installs_only(block: Block) -> bool:
    lines = block.text.splitlines()
    return block.language == "sh" and all(line.startswith(("pip ", "make ")) for line in lines)


def _check_extras(words: Iterable[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        named = re.fullmatch(r"(?:fsspec-store|\.)\[([\w,]+)\].*", word)
        if named:
            assert set(named[1].split(",")) <= set(project["optional-dependencies"]), word


def _check_targets(words: Iterable[str]) -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(condition: Callable[[], bool], program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert program.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it does not listen"
        time.sleep(0.05)
