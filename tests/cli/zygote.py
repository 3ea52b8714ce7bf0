"""A process that has imported the package, and forks for each command it is sent.

A start of Python with the package takes a good part of a second, a fork a few milliseconds. What
most commands import late is imported here once. Each message is a JSON document (arguments,
environment, folder) and three descriptors; the responses are the child's process id and, later,
its exit code. The child runs to the interpreter's end.
"""

from __future__ import annotations

import array
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import termios

import aiohttp  # noqa: F401
import s3fs  # noqa: F401
import stubborn
from fsspec.implementations import http  # noqa: F401
from typer.testing import CliRunner

import fsspec_store.cli.app
import fsspec_store.dataset
import fsspec_store.reports
import fsspec_store.transfer
import fsspec_store.zarr
from fsspec_store._backends.local import backend as _local  # noqa: F401
from fsspec_store._backends.s3 import backend as _s3  # noqa: F401
from fsspec_store._backends.web import backend as _web  # noqa: F401
from fsspec_store.cli import main


def serve(control: socket.socket) -> bool:
    """Fork for each message; return true in a child, and false at the end."""
    while True:
        message, fds, _, _ = socket.recv_fds(control, 2**16, 3)
        if not message:
            return False
        child = os.fork()
        if child == 0:
            become(json.loads(message), fds)
            return True
        for fd in fds:
            os.close(fd)
        control.sendall(array.array("i", [child]).tobytes())
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        control.sendall(array.array("i", [code]).tobytes())


def become(message: dict, fds: list[int]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(message["folder"])
    os.environ.clear()
    os.environ.update(message["environment"])
    sys.argv = ["fsspec-store", *message["arguments"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115


if __name__ == "__main__":
    # Each child has a copy.
    stubborn.fill()
    # The first run imports what Typer converts arguments with.
    CliRunner().invoke(fsspec_store.cli.app.app, ["du", "--depth", "no number", "."])
    # Collections of a child do not copy the pages of these objects.
    gc.freeze()
    listening = socket.socket(fileno=int(sys.argv[1]))
    if serve(listening):
        listening.close()
        main()
