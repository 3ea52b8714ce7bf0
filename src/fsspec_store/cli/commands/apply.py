"""``apply``: does what a file of ``plan`` has."""

from pathlib import Path
from typing import Annotated

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import MOVE
from ..missing import require_folder
from ..output import Output
from ..place import Place
from ..progress import ShownProgress
from ..report_file import HtmlOption, transfer_report
from ..transferring import (
    MEMORY_MIB,
    ConcurrencyOption,
    DaskOption,
    FailFastOption,
    MaxDeleteOption,
    MemoryOption,
    bound,
    report,
)


@command(
    MOVE,
    examples=[
        ("./climate.zarr s3://bucket/climate.zarr plan.jsonl", "All operations of a plan"),
        ("--max-delete 0 ./climate.zarr s3://bucket/climate.zarr plan.jsonl", "Without deletions"),
    ],
)
def apply(
    src: Place,
    dst: Place,
    output: Output,
    file: Annotated[Path, typer.Argument(help="A file that `plan` wrote.")],
    max_delete: MaxDeleteOption = "50%",
    fail_fast: FailFastOption = False,
    html: HtmlOption = None,
    concurrency: ConcurrencyOption = 32,
    memory: MemoryOption = MEMORY_MIB,
    dask: DaskOption = None,
) -> ExitCode:
    """Copy and delete what a plan states.

    A key that has changed since the plan was made is left as it is, and counts as failed.
    """
    from ...transfer import Plan, blocking

    most = bound(max_delete)
    with (
        transfer_report(html, output, "Plan applied to", src, dst) as write_page,
        Plan.read(file) as planned,
        src.open() as source,
        dst.open(read_only=False) as target,
        ShownProgress(output, keeps_uploads=target._backend.keeps_uploads) as shown,
    ):
        require_folder(target, "DST")
        result = blocking.apply(
            planned,
            source,
            target,
            max_delete=most,
            fail_fast=fail_fast,
            concurrency=concurrency,
            memory_bytes=memory * 2**20,
            on_progress=shown,
            client=dask,
        )
        write_page(result)
    return report(result, output)
