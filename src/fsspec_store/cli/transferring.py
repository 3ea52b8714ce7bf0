"""What the commands that copy and compare share: options, progress, and the report of a result."""

from __future__ import annotations

import sys
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

import typer

from .exit_codes import ExitCode, code_of, is_interruption
from .help import KEYS, SAFETY, SPEED
from .output import has_colors, is_dumb
from .text import human_size, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from ..transfer import Failure, Operation, Options, Plan, Result
    from .output import Output

__all__ = [
    "CompareMode",
    "CompareOption",
    "ConcurrencyOption",
    "DaskOption",
    "ExcludeOption",
    "FailFastOption",
    "IncludeOption",
    "MaxDeleteOption",
    "MemoryOption",
    "ShownProgress",
    "bound",
    "ended",
    "plan_totals",
    "print_failures",
    "print_left_out",
    "print_operation",
    "print_plan",
    "report",
    "transfer_options",
]

#: Seconds between two lines of progress in a log, and between two changes of the bar.
_LOG_SECONDS, _BAR_SECONDS = 10.0, 0.1
#: Number of failures and differences that are printed; all are in the JSON document.
_PRINTED = 20


class CompareMode(StrEnum):
    """How values of equal size are compared."""

    CHECKSUM = "checksum"
    SIZE = "size"
    BYTES = "bytes"
    MTIME = "mtime"


CompareOption = Annotated[
    CompareMode,
    typer.Option("--compare", help="How values of equal size are compared.", rich_help_panel=KEYS),
]


def _valid_globs(option: typer.CallbackParam, patterns: list[str] | None) -> list[str] | None:
    if patterns:
        from ..transfer import Selection

        try:
            Selection(**{str(option.name): patterns})
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return patterns


IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="GLOB",
        callback=_valid_globs,
        help="Only these keys: 'air/**'. Repeatable.",
        rich_help_panel=KEYS,
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        callback=_valid_globs,
        help="Not these keys. Repeatable.",
        rich_help_panel=KEYS,
    ),
]
ConcurrencyOption = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, metavar="N", help="Number of keys at once.", rich_help_panel=SPEED
    ),
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Run on a Dask cluster: the address of its scheduler, such as tcp://host:8786.",
        rich_help_panel=SPEED,
    ),
]
FailFastOption = Annotated[
    bool,
    typer.Option("--fail-fast", help="Stop at the first key that fails.", rich_help_panel=SAFETY),
]
MemoryOption = Annotated[
    int,
    typer.Option(
        "--memory",
        min=1,
        metavar="MIB",
        help="Memory for the large values that pass through at once, in MiB.",
        rich_help_panel=SPEED,
    ),
]
MaxDeleteOption = Annotated[
    str,
    typer.Option(
        "--max-delete",
        metavar="N|SHARE%",
        help="Refuse to delete more keys: a number, or a share of the target's keys.",
        rich_help_panel=SAFETY,
    ),
]


def transfer_options(
    compare: CompareMode,
    include: list[str] | None,
    exclude: list[str] | None,
    concurrency: int,
    memory: int = 80,
    dask: str | None = None,
) -> Options:
    """What these parameters of a command are for `fsspec_store.transfer`."""
    return {
        "compare": compare.value,
        "include": include or (),
        "exclude": exclude or (),
        "concurrency": concurrency,
        "memory_bytes": memory * 2**20,
        "client": dask,
    }


def bound(text: str) -> float:
    """The bound of deletes: ``"100"`` is a number of keys, ``"20%"`` a share of them."""
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if 0 <= share <= 1:
                return share
        elif int(text) >= 0:
            return int(text)
    except ValueError:
        pass
    raise typer.BadParameter("must be a number of keys, or 0% to 100%", param_hint="--max-delete")


def print_operation(operation: Operation, output: Output) -> None:
    """Print what is to be done with one key: a line of JSON, or action, reason, and key."""
    if output.json:
        output.document(
            {"action": operation.action, "reason": operation.reason, "key": operation.key}
        )
    else:
        output.line(f"{operation.action}\t{operation.reason}\t{printable(operation.key)}")


def report(result: Result, output: Output) -> ExitCode:
    """Print a result, and return its exit code."""
    if output.json:
        output.document(result.to_dict())
    print_failures(result.failed, result.failures, output)
    print_left_out(result, output)
    if result.held_back:
        output.error(f"{result.held_back:,} metadata keys are not copied: keys below them failed")
    if result.deletes_skipped:
        output.error(f"{result.deletes_skipped:,} keys are not deleted: copies failed")
    output.note(f"{_totals(result)}, in {result.seconds:.1f} s")
    if result.extra:
        output.note(f"{result.extra:,} keys are only in DST: `sync` deletes such keys")
    return ended(result, output)


def _totals(result: Result) -> str:
    done = [f"{result.copied:,} copied ({human_size(result.copied_bytes)})"]
    if result.deleted:
        done.append(f"{result.deleted:,} deleted")
    done.append(f"{result.equal:,} equal")
    if result.differing:
        done.append(f"{result.differing:,} differ")
    if result.failed:
        done.append(f"{result.failed:,} failed")
    return ", ".join(done)


def ended(result: Result, output: Output) -> ExitCode:
    """Return the exit code of a result. Print the error that stopped the transfer, if any did."""
    if result.stopped_by is None:
        return ExitCode.DONE if result.ok else ExitCode.SOME_FAILED
    if result.not_tried:
        output.error(f"{result.not_tried:,} keys are not tried")
    output.error(f"stopped: {output.message(result.stopped_by)}")
    return code_of(result.stopped_by)


def print_plan(planned: Plan, output: Output, *, max_delete: float | None = None) -> ExitCode:
    """Print what a dry run found, and return the exit code.

    Raises `RefusedError` if the transfer would be refused for its number of deletes.
    """
    for operation in planned:
        print_operation(operation, output)
    print_failures(planned.failed, planned.failures, output)
    print_left_out(planned, output)
    output.note(plan_totals(planned))
    if max_delete is not None:
        from ..transfer import check_deletes

        check_deletes(planned.deletes, planned.keys, max_delete)
    return ExitCode.SOME_FAILED if planned.failed or planned.left_out else ExitCode.DONE


def print_left_out(found: Result | Plan, output: Output) -> None:
    """Print how many names of the source are no valid keys, and the first of them."""
    if found.left_out:
        first = found.names_left_out[0]
        output.error(
            f"{found.left_out:,} names in the source are left out, because they are no keys: "
            f"{first.name!r} ({first.reason})" + (", ..." if found.left_out > 1 else "")
        )


def plan_totals(planned: Plan) -> str:
    """Numbers of keys, and of bytes to copy."""
    return (
        f"{planned.copies:,} to copy ({human_size(planned.copy_bytes)}), "
        f"{planned.deletes:,} to delete, {planned.equal:,} equal"
    )


def print_failures(count: int, failures: Sequence[Failure], output: Output) -> None:
    """Print the first keys that failed, and how many more there are."""
    for failure in failures[:_PRINTED]:
        output.failure(failure.action, failure.key, failure.error)
    if count > _PRINTED:
        output.error(f"and {count - _PRINTED:,} more keys failed")


class ShownProgress:
    """Shows the progress of a transfer: a bar on a terminal, a line each ten seconds in a log.

    An instance is the ``on_progress`` of a transfer, which calls it in another thread. If the
    transfer is interrupted or fails, the totals and failures so far are shown.

    Parameters
    ----------
    compares : bool, optional
        Whether keys are only compared.
    """

    def __init__(
        self, output: Output, *, compares: bool = False, log_seconds: float = _LOG_SECONDS
    ) -> None:
        self._output = output
        self._progress = _comparison_progress if compares else _progress
        self._log_seconds = log_seconds
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._result: Result | None = None
        self._started_at = self._shown_at = time.monotonic()
        self._lock = threading.Lock()

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
            )
            self._task = self._bar.add_task("listing", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()
        result = self._result
        if exc_value is not None and result is not None:
            result.seconds = time.monotonic() - self._started_at
            self._show_so_far(result, is_interruption(exc_value))

    def _show_so_far(self, result: Result, is_interrupted: bool) -> None:
        if is_interrupted or result.copied or result.deleted or result.failed:
            self._output.so_far = {**result.to_dict(), "ok": False}
            print_failures(result.failed, result.failures, self._output)
            self._output.note(f"so far: {_totals(result)}")

    def __call__(self, result: Result) -> None:
        """Show the result so far."""
        self._result = result
        now = time.monotonic()
        with self._lock:
            if now - self._shown_at < (self._log_seconds if self._bar is None else _BAR_SECONDS):
                return
            self._shown_at = now
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
        )


def _progress(result: Result, seconds: float) -> tuple[str, int, int]:
    """Keys, bytes and rate so far as text, with a ``+`` while the listing is not complete.

    The numbers are what is done, and all.
    """
    more = "" if result.is_listed else "+"
    done, seconds = result.copied + result.deleted, max(seconds, 0.001)
    shown = [f"{done:,} of {result.planned:,}{more} keys"]
    if result.failed:
        shown.append(f"{result.failed:,} failed")
    if result.planned_bytes:
        copied, planned = map(human_size, (result.copied_bytes, result.planned_bytes))
        shown.append(f"{copied} of {planned}{more}, {human_size(result.copied_bytes / seconds)}/s")
        return ", ".join(shown), result.copied_bytes, result.planned_bytes
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
