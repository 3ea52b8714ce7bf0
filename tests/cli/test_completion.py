"""Completion by real shells at a terminal, from the printed scripts."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import pytest

_SECONDS = 60
_VARIABLE = "_FSSPEC_STORE_COMPLETE"
#: Each shell without the user's files, and the word of its prompt.
_SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
#: What makes completions possible in a shell without configuration.
_BEFORE = {"zsh": "autoload -U compinit; compinit -u -D\n"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with the command, by this Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "fsspec-store"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fsspec_store "$@"\n')
    command.chmod(0o755)
    return folder


def printed(program: Path, shell: str) -> str:
    environment = {**os.environ, _VARIABLE: f"source_{shell}"}
    done = subprocess.run(
        [program / "fsspec-store"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_shell_completes_commands_and_options(shell: str, program: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(_BEFORE.get(shell, "") + printed(program, shell))
    here, there = pty.openpty()
    environment = {
        **os.environ,
        "PATH": f"{program}:{os.environ['PATH']}",
        "TERM": "dumb" if shell == "bash" else "xterm",
        "HOME": str(tmp_path),
    }
    with subprocess.Popen(
        _SHELLS[shell],
        stdin=there,
        stdout=there,
        stderr=there,
        env=environment,
        cwd=tmp_path,
        preexec_fn=_own_terminal,
    ) as running:
        os.close(there)
        try:
            os.write(here, f"source {script}; echo lo''aded\n".encode())
            _read_until(here, "loaded")
            os.write(here, b"fsspec-store tre\t")
            _read_until(here, "tree")
            os.write(here, b"--dep\t")
            _read_until(here, "--depth")
        finally:
            running.kill()
            os.close(here)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(fd: int, text: str) -> None:
    found = b""
    while text.encode() not in found:
        assert select.select([fd], [], [], _SECONDS)[0], found
        found += os.read(fd, 2**16)


@pytest.mark.parametrize("shell", _SHELLS)
def test_the_help_names_the_options(shell: str, program: Path) -> None:
    assert f"{_VARIABLE}=complete_{shell}" in printed(program, shell)
    done = subprocess.run([program / "fsspec-store", "--help"], capture_output=True, text=True)
    assert "--show-completion" in done.stdout
    assert "--install-completion" in done.stdout
