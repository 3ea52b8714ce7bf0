"""``plan``: writes a file with what `sync` or `cp` would do."""

from pathlib import Path
from typing import Annotated

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import MOVE
from ..missing import require_folder, require_keys
from ..output import Output
from ..place import Place
from ..report_file import ReportFile
from ..transferring import (
    CompareMode,
    CompareOption,
    ConcurrencyOption,
    DaskOption,
    ExcludeOption,
    IncludeOption,
    note_extra,
    plan_totals,
    print_failures,
    print_left_out,
    transfer_options,
)


@command(
    MOVE,
    examples=[
        ("./climate.zarr s3://bucket/climate.zarr plan.jsonl", "Copies"),
        ("--delete ./climate.zarr s3://bucket/climate.zarr plan.jsonl", "Copies and deletions"),
    ],
)
def plan(
    src: Place,
    dst: Place,
    output: Output,
    file: Annotated[Path, typer.Argument(help="The file to write, as JSON lines.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete the keys that only DST has.")
    ] = False,
    compare: CompareOption = CompareMode.CHECKSUM,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    concurrency: ConcurrencyOption = 32,
    dask: DaskOption = None,
) -> ExitCode:
    """Write a file with what has to be copied, for a review. `apply` does it later.

    A key that cannot be compared is not in the file. The exit code is then 5.
    """
    from ...transfer import blocking

    # Before the comparison, which may take hours. A pipe has no folder to replace a file in.
    if file.is_file() or file.is_dir() or not file.exists():
        ReportFile(file, "FILE")
    options = transfer_options(compare, include, exclude, concurrency, dask=dask)
    with src.open() as source, dst.open() as target:
        require_keys(source, src, "SRC")
        require_folder(target, "DST")
        with blocking.plan(source, target, delete=delete, **options) as planned:
            planned.write(file)
    totals = {
        "copies": planned.copies,
        "copy_bytes": planned.copy_bytes,
        "deletes": planned.deletes,
        "equal": planned.equal,
        "extra": planned.extra,
        "failed": planned.failed,
        "left_out": planned.left_out,
    }
    print_failures(planned.failed, planned.failures, output)
    print_left_out(planned, output)
    if output.json:
        output.document(totals)
    else:
        output.note(plan_totals(planned))
    note_extra(planned.extra, "--delete plans to delete such keys", output)
    return ExitCode.SOME_FAILED if planned.failed or planned.left_out else ExitCode.DONE
