"""The command ``fsspec-store``, over the public API. Needs the extra ``cli``.

This module starts it, and imports nothing that takes time: until `main` runs, an interruption shows
a traceback.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main"]

_MISSING = "fsspec-store: the command needs Typer and Rich: pip install 'fsspec-store[cli]'"


#: Number of new objects before Python looks for cycles.
_NEW_OBJECTS = 50_000


def main() -> None:
    """Run the command with the arguments of the process, and exit with its code."""
    # The first that is registered runs last. The interpreter resets handlers, but not SIG_IGN.
    atexit.register(_ignore_signals)
    # A short process with millions of objects that stay: the default of 700 new objects for each
    # collection takes a tenth of a command's processor time.
    gc.set_threshold(_NEW_OBJECTS)
    # A shell starts background jobs with SIGINT ignored, which stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        sys.unraisablehook = _exit_if_interrupted
    try:
        import warnings
        from importlib.util import find_spec

        # One that is interrupted before it starts.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        if find_spec("typer") is None or find_spec("rich") is None:
            print(_MISSING, file=sys.stderr)
            sys.exit(2)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                # Closed by the shell, as by 2>&-.
                setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
            elif isinstance(stream, io.TextIOWrapper):
                # No key and no character of a tree is an error in another encoding than UTF-8.
                stream.reconfigure(errors="backslashreplace")
        # What is being written is removed, as after Ctrl-C.
        signal.signal(signal.SIGTERM, _as_ctrl_c)
        from .app import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, _as_ctrl_c):
                # The exit code is known. An interruption of the exit handlers would show a
                # traceback.
                signal.signal(number, lambda *_: os._exit(130))
        # The interpreter ends without a search for cycles among all modules.
        gc.freeze()


def _ignore_signals() -> None:
    """Keep the exit code of a command whose last exit handler has run."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM as SIGINT, whose handler an event loop replaces while it runs."""
    handler = signal.getsignal(signal.SIGINT)
    # It is no function where a shell has started a background job.
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def _exit_if_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
    """End the process when Ctrl-C interrupts a destructor or callback, which cannot raise."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        os._exit(130)
    sys.__unraisablehook__(unraisable)
