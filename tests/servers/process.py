"""Runs one server program for the tests and takes it down again, however the tests end.

Knows temporary folders, child processes, their logs, and waiting until a program is ready.
Does not know S3, credentials, or which servers there are.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from servers.errors import ServerStartError

Served = TypeVar("Served")

_ATTEMPTS = 5
_POLL_SECONDS = 0.05
_LOG_LINES = 30

# Linux only, replaces itself with the server: asks the kernel for SIGKILL when the parent is gone,
# then makes sure that the parent did not go before it asked. A `preexec_fn` would do the same but
# is unsafe in a process with threads, and the tests have some. The kernel counts the end of the
# parent's *thread* as the end of the parent, so servers must be started by a thread that lasts.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests are gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Launch(Generic[Served]):
    """One try at starting a server: what to run, what its users get, how to tell it is ready."""

    command: Sequence[str]
    environment: Mapping[str, str]
    served: Served
    why_not_ready: Callable[[], str | None]


@contextmanager
def running(
    name: str,
    prepare: Callable[[Path], AbstractContextManager[Launch[Served]]],
    *,
    ready_within: float = 30.0,
) -> Iterator[Served]:
    """Runs what `prepare` describes in a temporary folder until the block is left.

    `prepare` gets the folder and is asked again, with a fresh one, when the program exits before
    it is ready: that is how servers answer when somebody took one of their ports meanwhile. It is
    left after the program is dead and before the folder is removed.
    """
    last_log = ""
    for _ in range(_ATTEMPTS):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix=f"test-{name}-")))
            launch = stack.enter_context(prepare(folder))
            log = folder / "server.log"
            process = stack.enter_context(_child(launch, folder, log))
            reason = wait_until_ready(
                launch.why_not_ready, ready_within, give_up=partial(_has_exited, process)
            )
            if _has_exited(process):
                last_log = _tail(log)
                continue
            if reason is not None:
                raise ServerStartError(
                    f"{name} was not ready within {ready_within:g} s: {reason}\n{_tail(log)}"
                )
            yield launch.served
            return
    raise ServerStartError(f"{name} exited {_ATTEMPTS} times before it was ready\n{last_log}")


def wait_until_ready(
    why_not_ready: Callable[[], str | None],
    seconds: float,
    *,
    give_up: Callable[[], bool] = lambda: False,
) -> str | None:
    """Asks until there is no reason left (None), or returns the last one when time is up."""
    deadline = time.monotonic() + seconds
    while (reason := why_not_ready()) is not None and not give_up():
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return reason


@contextmanager
def _child(launch: Launch[Served], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = list(launch.command)
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(launch.environment, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal reaches the whole group: the tests must still be able to talk
            # to the server while they clean up, and stop it themselves.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The whole group, since Apache's and nginx's children outlive a parent that is killed.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _environment(own: Mapping[str, str], folder: Path) -> dict[str, str]:
    # Nothing else is passed on: a developer's AWS_*, MINIO_* or proxy settings would change what
    # is being tested. HOME and TMPDIR keep the server's own litter inside the folder.
    passed_on = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    return {**passed_on, "HOME": str(folder), "TMPDIR": str(folder), **own}


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(["--- end of its log ---", *lines])
