"""``sync``: makes the keys below a URL equal to those below another one."""

from typing import Annotated

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import MOVE, SAFETY
from ..missing import require_folder
from ..output import Output
from ..place import Place
from ..progress import ShownProgress
from ..report_file import HtmlOption, transfer_report
from ..transferring import (
    MEMORY_MIB,
    CompareMode,
    CompareOption,
    ConcurrencyOption,
    DaskOption,
    ExcludeOption,
    FailFastOption,
    IncludeOption,
    MaxDeleteOption,
    MemoryOption,
    bound,
    print_plan,
    report,
    transfer_options,
)


@command(
    MOVE,
    examples=[
        ("./climate.zarr s3://bucket/climate.zarr", "Publish a data set, and its deletions"),
        ("-n ./climate.zarr s3://bucket/climate.zarr", "What would be copied and deleted"),
    ],
)
def sync(
    src: Place,
    dst: Place,
    output: Output,
    compare: CompareOption = CompareMode.CHECKSUM,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    max_delete: MaxDeleteOption = "50%",
    allow_empty: Annotated[
        bool,
        typer.Option("--allow-empty", help="Accept a SRC without keys.", rich_help_panel=SAFETY),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("-n", "--dry-run", help="Print what would be done.", rich_help_panel=SAFETY),
    ] = False,
    fail_fast: FailFastOption = False,
    html: HtmlOption = None,
    concurrency: ConcurrencyOption = 32,
    memory: MemoryOption = MEMORY_MIB,
    dask: DaskOption = None,
) -> ExitCode:
    """Make the keys below DST equal to those below SRC.

    It copies what differs, and then deletes the keys that only DST has. Nothing is deleted if a
    copy fails, if SRC has no keys, or if more keys would be deleted than --max-delete; the last two
    are refused with exit code 7.
    """
    from ...transfer import blocking

    most = bound(max_delete)
    options = transfer_options(compare, include, exclude, concurrency, memory, dask)
    options["allow_empty"] = allow_empty
    with (
        transfer_report(html, output, "Sync to", src, dst, dry_run=dry_run) as write_page,
        src.open() as source,
        dst.open(read_only=dry_run) as target,
    ):
        require_folder(source, "SRC")
        require_folder(target, "DST")
        if dry_run:
            with blocking.plan(source, target, delete=True, **options) as planned:
                return print_plan(planned, output, max_delete=most)
        with ShownProgress(output, keeps_uploads=target._backend.keeps_uploads) as shown:
            options["on_progress"] = shown
            result = blocking.sync(source, target, max_delete=most, fail_fast=fail_fast, **options)
        write_page(result)
    return report(result, output)
