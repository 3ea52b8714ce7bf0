"""What the commands that copy and compare share: options, and the report of a result."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exit_codes import ExitCode, code_of
from .help import KEYS, SAFETY, SPEED
from .text import counted, human_size, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transfer import Failure, Operation, Options, Plan, Result
    from .output import Output

__all__ = [
    "MEMORY_MIB",
    "CompareMode",
    "CompareOption",
    "ConcurrencyOption",
    "DaskOption",
    "ExcludeOption",
    "FailFastOption",
    "IncludeOption",
    "MaxDeleteOption",
    "MemoryOption",
    "bound",
    "document_of",
    "ended",
    "in_words_of_shell",
    "note_extra",
    "plan_totals",
    "print_failures",
    "print_left_out",
    "print_operation",
    "print_plan",
    "report",
    "totals_of",
    "transfer_options",
]

#: The default of ``--memory``: that of `fsspec_store.transfer`, whose import takes time.
MEMORY_MIB = 80
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
    memory: int = MEMORY_MIB,
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
        output.document(document_of(result, output))
    print_failures(result.failed, result.failures, output)
    print_left_out(result, output)
    if result.held_back:
        held_back = counted(result.held_back, "metadata key")
        output.error(f"{held_back} not copied, because keys below failed")
    if result.deletes_skipped:
        output.error(f"{counted(result.deletes_skipped)} not deleted, because copies failed")
    output.note(f"{totals_of(result)}, in {result.seconds:.1f} s")
    note_extra(result.extra, "`sync` deletes such keys", output)
    return ended(result, output)


def document_of(result: Result, output: Output) -> dict[str, Any]:
    """A result for JSON; one that an error stopped has that error too."""
    error = result.stopped_by
    found = in_words_of_shell(result, output).to_dict()
    if error is None:
        return found
    return {**output.error_fields(code_of(error), output.message(error)), **found}


def in_words_of_shell(result: Result, output: Output) -> Result:
    """The result with messages as the command prints them."""
    from ..errors import StoreError

    error = result.stopped_by
    return replace(
        result,
        stopped_by=None if error is None else StoreError(output.message(error)),
        failures=[replace(each, error=output.reason(each.error)) for each in result.failures],
    )


def totals_of(result: Result) -> str:
    """Numbers of keys, and of copied bytes."""
    done = [f"{result.copied:,} copied ({human_size(result.copied_bytes)})"]
    if result.deleted:
        done.append(f"{result.deleted:,} deleted")
    done.append(f"{result.equal:,} equal")
    if result.differing:
        done.append(f"{result.differing:,} differ")
    if result.failed:
        done.append(f"{result.failed:,} failed")
    if result.moving_bytes:
        moved = human_size(result.copied_bytes + result.moving_bytes)
        done.append(f"{moved} of {human_size(result.planned_bytes)} moved")
    return ", ".join(done)


def ended(result: Result, output: Output) -> ExitCode:
    """Return the exit code of a result. Print the error that stopped the transfer, if any did."""
    if result.stopped_by is None:
        return ExitCode.DONE if result.ok else ExitCode.SOME_FAILED
    if result.not_tried:
        output.error(f"{counted(result.not_tried)} not tried")
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
            f"{counted(found.left_out, 'name')} in the source "
            f"{'is' if found.left_out == 1 else 'are'} left out, because "
            f"{'it is no key' if found.left_out == 1 else 'they are no keys'}: "
            f"{first.name!r} ({first.reason})" + (", ..." if found.left_out > 1 else "")
        )


def plan_totals(planned: Plan) -> str:
    """Numbers of keys, and of bytes to copy."""
    return (
        f"{planned.copies:,} to copy ({human_size(planned.copy_bytes)}), "
        f"{planned.deletes:,} to delete, {planned.equal:,} equal"
    )


def note_extra(count: int, hint: str, output: Output) -> None:
    """Print how many keys only the target has, if any, and how they are deleted."""
    if count:
        output.note(f"{counted(count)} {'is' if count == 1 else 'are'} only in DST: {hint}")


def print_failures(count: int, failures: Sequence[Failure], output: Output) -> None:
    """Print the first keys that failed, and how many more there are."""
    for failure in failures[:_PRINTED]:
        output.failure(failure.action, failure.key, failure.error)
    if count > _PRINTED:
        output.error(f"and {counted(count - _PRINTED, 'more key')} failed")
