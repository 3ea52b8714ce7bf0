"""What the commands that copy and compare share: options, progress, and the report of a result."""

from __future__ import annotations

import sys
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

import typer

from .exit_codes import ExitCode
from .text import human_size, printable

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from ..transfer import Operation, Options, Result
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
    "ShownProgress",
    "bound",
    "print_operation",
    "report",
    "transfer_options",
]

#: Seconds between two lines of progress in a log.
_SECONDS = 10.0
#: Number of failures and differences that are printed; all are in the JSON document.
_PRINTED = 20


class CompareMode(StrEnum):
    """How values of equal size are compared."""

    CHECKSUM = "checksum"
    SIZE = "size"
    BYTES = "bytes"
    MTIME = "mtime"


CompareOption = Annotated[
    CompareMode, typer.Option("--compare", help="How values of equal size are compared.")
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only these keys: 'air/**'. Repeatable."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Not these keys. Repeatable."),
]
ConcurrencyOption = Annotated[
    int, typer.Option("--concurrency", min=1, metavar="N", help="Number of keys at once.")
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Run on a Dask cluster: the address of its scheduler, such as tcp://host:8786.",
    ),
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast", help="Stop at the first key that fails.")
]
MaxDeleteOption = Annotated[
    str,
    typer.Option(
        "--max-delete",
        metavar="N|SHARE%",
        help="Refuse to delete more keys: a number, or a share of the target's keys.",
    ),
]


def transfer_options(
    compare: CompareMode,
    include: list[str] | None,
    exclude: list[str] | None,
    concurrency: int,
    dask: str | None = None,
) -> Options:
    """What these parameters of a command are for `fsspec_store.transfer`."""
    return {
        "compare": compare.value,
        "include": include or (),
        "exclude": exclude or (),
        "concurrency": concurrency,
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
    for failure in result.failures[:_PRINTED]:
        output.error(f"cannot {failure.action} {failure.key!r}: {failure.error}")
    if result.failed > _PRINTED:
        output.error(f"and {result.failed - _PRINTED:,} more keys failed")
    if result.held_back:
        output.error(f"{result.held_back:,} metadata keys are not copied: keys below them failed")
    if result.deletes_skipped:
        output.error(f"{result.deletes_skipped:,} keys are not deleted: copies failed")
    done = [f"{result.copied:,} copied ({human_size(result.copied_bytes)})"]
    if result.deleted:
        done.append(f"{result.deleted:,} deleted")
    done.append(f"{result.equal:,} equal")
    if result.failed:
        done.append(f"{result.failed:,} failed")
    output.note(f"{', '.join(done)}, in {result.seconds:.1f} s")
    return ExitCode.DONE if result.ok else ExitCode.SOME_FAILED


class ShownProgress:
    """Shows the progress of a transfer: a bar on a terminal, a line each ten seconds in a log.

    An instance is the ``on_progress`` of a transfer, which calls it in another thread.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started_at = self._shown_at = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._output.quiet:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
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
            self._bar.stop()

    def __call__(self, result: Result) -> None:
        """Show the result so far."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description=_counts(result),
                completed=result.copied_bytes,
                total=result.planned_bytes if result.is_listed else None,
            )
            return
        now = time.monotonic()
        with self._lock:
            if now - self._shown_at < _SECONDS:
                return
            self._shown_at = now
        rate = human_size(result.copied_bytes / (now - self._started_at))
        of = human_size(result.planned_bytes) if result.is_listed else "?"
        done = human_size(result.copied_bytes)
        self._output.note(f"{_counts(result)}, {done} of {of}, {rate}/s")


def _counts(result: Result) -> str:
    planned = f"{result.planned:,}{'' if result.is_listed else '+'}"
    failed = f", {result.failed:,} failed" if result.failed else ""
    return f"{result.copied + result.deleted:,} of {planned} keys{failed}"
