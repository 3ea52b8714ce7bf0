"""The progress of a transfer or comparison, and its totals if it ends early."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from .exit_codes import is_interruption
from .output import has_colors, is_dumb
from .text import human_size
from .transferring import in_words_of_shell, print_failures, totals_of

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from ..transfer import Result
    from .output import Output

__all__ = ["ShownProgress"]

#: Seconds between two lines of progress in a log, and between two changes of the bar.
_LOG_SECONDS, _BAR_SECONDS = 10.0, 0.1


class ShownProgress:
    """Shows the progress of a transfer: a bar on a terminal, a line each ten seconds in a log.

    An instance is the ``on_progress`` of a transfer. A thread shows the last result, also while
    the transfer does not call it. If the transfer is interrupted or fails, the totals and failures
    so far are shown.

    Parameters
    ----------
    compares : bool, optional
        Whether keys are only compared.
    keeps_uploads : bool, optional
        Whether an interrupted copy leaves an upload that the next one continues.
    log_seconds : float, optional
        Seconds between two lines in a log.
    """

    def __init__(
        self,
        output: Output,
        *,
        compares: bool = False,
        keeps_uploads: bool = False,
        log_seconds: float = _LOG_SECONDS,
    ) -> None:
        self._output = output
        self._keeps_uploads = keeps_uploads
        self._progress = _comparison_progress if compares else _progress
        self._seconds = log_seconds
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._result: Result | None = None
        self._started_at = time.monotonic()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._show_repeatedly, daemon=True)

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not is_dumb() and not self._output.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TimeRemainingColumn(),
                console=Console(
                    stderr=True, color_system="auto" if has_colors(sys.stderr) else None
                ),
                transient=True,
                auto_refresh=False,
            )
            self._seconds = _BAR_SECONDS
            self._task = self._bar.add_task("listing", total=None)
            self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._has_ended.set()
        self._thread.join()
        if self._bar is not None:
            self._show()
            self._bar.stop()
        result = self._result
        if exc_value is not None and result is not None:
            result.seconds = time.monotonic() - self._started_at
            self._show_so_far(result, is_interruption(exc_value))

    def _show_so_far(self, result: Result, is_interrupted: bool) -> None:
        if is_interrupted or result.copied or result.deleted or result.failed:
            self._output.result = result
            self._output.so_far = {**self.document(result), "ok": False}
            print_failures(result.failed, result.failures, self._output)
            self._output.note(f"so far: {self.totals(result)}")
        if is_interrupted and result.moving_bytes and self._keeps_uploads:
            self._output.note(
                "unfinished uploads are kept: run it again to continue them, or "
                "`fsspec-store cleanup --older-than 0 DST` to remove them"
            )

    def document(self, result: Result) -> dict[str, Any]:
        """The result so far for JSON."""
        return in_words_of_shell(result, self._output).to_dict()

    def totals(self, result: Result) -> str:
        """The numbers so far."""
        return totals_of(result)

    def __call__(self, result: Result) -> None:
        """Take the result so far, which the transfer changes."""
        self._result = result

    def _show_repeatedly(self) -> None:
        while not self._has_ended.wait(self._seconds):
            self._show()

    def _show(self) -> None:
        result = self._result
        if result is None:
            return
        text, done, total = self._progress(result, time.monotonic() - self._started_at)
        if self._bar is None or self._task is None:
            self._output.note(text)
            return
        self._bar.update(
            self._task,
            description=text,
            completed=done,
            total=total if result.is_listed else None,
            refresh=True,
        )


def _progress(result: Result, seconds: float) -> tuple[str, int, int]:
    """Keys, bytes and rate so far as text, with a ``+`` while the listing is not complete.

    The numbers are what is done, and all.
    """
    if not (result.planned or result.is_listed):
        return f"{result.listed:,} keys listed, {result.equal:,} equal", 0, 0
    more = "" if result.is_listed else "+"
    done, seconds = result.copied + result.deleted, max(seconds, 0.001)
    shown = [f"{done:,} of {result.planned:,}{more} keys"]
    if result.failed:
        shown.append(f"{result.failed:,} failed")
    if result.planned_bytes:
        moved = result.copied_bytes + result.moving_bytes
        sizes = f"{human_size(moved)} of {human_size(result.planned_bytes)}"
        shown.append(f"{sizes}{more}, {human_size(moved / seconds)}/s")
        return ", ".join(shown), moved, result.planned_bytes
    shown.append(f"{done / seconds:,.0f} keys/s")
    return ", ".join(shown), done, result.planned


def _comparison_progress(result: Result, seconds: float) -> tuple[str, int, int]:
    """See `_progress`."""
    more = "" if result.is_listed else "+"
    done = result.equal + result.extra + result.differing + result.failed
    shown = [f"{done:,} of {result.listed:,}{more} keys", f"{result.differing:,} differ"]
    if result.failed:
        shown.append(f"{result.failed:,} failed")
    shown.append(f"{done / max(seconds, 0.001):,.0f} keys/s")
    return ", ".join(shown), done, result.listed
