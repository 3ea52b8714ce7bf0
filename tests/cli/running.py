"""Runs of the command: in this process, in a process at a pipe, and in one at a terminal."""

from __future__ import annotations

import array
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from fsspec_store.cli.app import app

_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """What a run printed, and its exit code."""

    code: int
    out: str
    err: str = ""

    @property
    def documents(self) -> list[Any]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def plain(self) -> str:
        """Standard output of a terminal without colours, and with plain ends of lines."""
        return re.sub(r"\x1b\[[\d;]*m", "", self.out).replace("\r\n", "\n")


def run(*arguments: str | Path) -> Ended:
    """Run the command in this process. Its standard output is no terminal."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="fsspec-store")
    return Ended(result.exit_code, result.stdout, result.stderr)


class Started:
    """A run in a process.

    Attributes
    ----------
    pid
        Its process.
    terminal
        The other end of its terminal; None at a pipe.
    """

    def __init__(
        self, control: socket.socket, ends: list[int], terminal: bool, closed: bool
    ) -> None:
        self._control = control
        self.pid: int = self._received()
        self.terminal = ends[0] if terminal else None
        self._is_closed = closed
        self._ends = ends

    def interrupt(self) -> None:
        """Ctrl-C: at a terminal the key, else the signal."""
        if self.terminal is not None:
            os.write(self.terminal, b"\x03")
        else:
            os.kill(self.pid, signal.SIGINT)

    def wait_for(self, text: str) -> str:
        """The output at the terminal up to a text."""
        found = b""
        while text.encode() not in found:
            found += os.read(self._ends[0], 2**16)
        return found.decode()

    def end(self) -> Ended:
        """Read all output, and wait for the end."""
        texts = [_read_all(fd).decode(errors="backslashreplace") for fd in self._ends]
        if self._is_closed:
            texts.insert(0, "")
        return Ended(self._received(), *texts)

    def _received(self) -> int:
        return array.array("i", self._control.recv(4, socket.MSG_WAITALL))[0]


class Processes:
    """Starts runs in processes, one at a time."""

    def __init__(self, control: socket.socket, folder: Path) -> None:
        self._control = control
        self._folder = folder

    def start(
        self,
        *arguments: str | Path,
        terminal: bool = False,
        closed: bool = False,
        full: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Started:
        """Start a run at pipes or at a terminal; ``closed``: without a reader of its output.

        With ``full`` the output is to a disk that is full.
        """
        if terminal:
            here, there = pty.openpty()
            ends, given = [here], [there, there, there]
        else:
            (out, to_out), (err, to_err) = os.pipe(), os.pipe()
            ends, given = [out, err], [os.open(os.devnull, os.O_RDONLY), to_out, to_err]
        if full:
            os.close(given[1])
            given[1] = os.open("/dev/full", os.O_WRONLY)
        if closed:
            os.close(ends.pop(0))
        message = {
            "arguments": [str(each) for each in arguments],
            "environment": {"PATH": os.environ["PATH"], "TERM": "xterm", **(environment or {})},
            "folder": str(self._folder),
        }
        socket.send_fds(self._control, [json.dumps(message).encode()], given)
        for fd in set(given):
            os.close(fd)
        return Started(self._control, ends, terminal, closed)

    def run(self, *arguments: str | Path, **options: Any) -> Ended:
        """Start a run, and wait for its end."""
        return self.start(*arguments, **options).end()


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    ours, theirs = socket.socketpair()
    ours.settimeout(_SECONDS)
    with ours, theirs:
        program = Path(__file__).with_name("zygote.py")
        with subprocess.Popen(
            [sys.executable, program, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        ) as zygote:
            theirs.close()
            try:
                yield Processes(ours, folder)
            finally:
                ours.close()
                zygote.wait(_SECONDS)


def _read_all(fd: int) -> bytes:
    found = b""
    # The end of a terminal is an error.
    with suppress(OSError):
        while part := os.read(fd, 2**16):
            found += part
    os.close(fd)
    return found
