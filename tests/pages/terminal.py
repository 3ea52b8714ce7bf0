"""Commands at a pseudo-terminal: what a person sees of them.

Knows terminals. Does not know pages, nor which command is run.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

#: Columns of the terminal.
WIDTH = 100

_SECONDS = re.compile(r"\bin \d+\.\d s$", re.MULTILINE)


def at_terminal(line: str, folder: Path, environment: Mapping[str, str], term: str = "dumb") -> str:
    """Run a line of bash at a terminal, and return all output.

    Parameters
    ----------
    line : str
        The command, with its arguments.
    folder : pathlib.Path
        Where it runs.
    environment : mapping
        All variables, except for those of the terminal.
    term : str
        Kind of the terminal: a dumb one has neither colours nor a moving cursor.
    """
    here, there = pty.openpty()
    try:
        program = subprocess.Popen(
            ["bash", "-c", line],
            cwd=folder,
            env={**environment, "TERM": term, "COLUMNS": str(WIDTH)},
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
    finally:
        os.close(there)
    output = b""
    with program:
        # The end of a terminal is an error on Linux.
        with suppress(OSError):
            while part := os.read(here, 2**16):
                output += part
        os.close(here)
    return output.decode().replace("\r\n", "\n")


def comparable(output: str) -> list[str]:
    """The lines of an output that are the same each time: no durations, and no empty lines."""
    lines = (line.rstrip() for line in _SECONDS.sub("in ... s", output).splitlines())
    return [line for line in lines if line]
