"""``cp``: copies a key, or all keys below a URL."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import MOVE, SAFETY
from ..missing import missing_as_empty, no_keys, require_folder
from ..output import Output
from ..place import KeyAt, Place
from ..progress import ShownProgress
from ..report_file import HtmlOption, transfer_report
from ..text import human_size, printable
from ..transferring import (
    MEMORY_MIB,
    CompareMode,
    CompareOption,
    ConcurrencyOption,
    DaskOption,
    ExcludeOption,
    FailFastOption,
    IncludeOption,
    MemoryOption,
    print_plan,
    report,
    transfer_options,
)

if TYPE_CHECKING:
    from ...transfer import Result


@command(
    MOVE,
    examples=[
        ("./climate.zarr s3://bucket/climate.zarr", "Publish a data set"),
        ("--include 'air/**' s3://bucket/climate.zarr ./climate.zarr", "One array of it"),
        ("s3://bucket/climate.zarr/zarr.json ./", "One key"),
    ],
)
def cp(
    src: Place,
    dst: Place,
    output: Output,
    recursive: Annotated[
        bool,
        typer.Option("-r", "--recursive", help="Accepted: every key below SRC is always copied."),
    ] = False,
    compare: CompareOption = CompareMode.CHECKSUM,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    atomic: Annotated[
        bool,
        typer.Option(
            "--atomic",
            help="Write the metadata of the root after a verification.",
            rich_help_panel=SAFETY,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("-n", "--dry-run", help="Print what would be copied.", rich_help_panel=SAFETY),
    ] = False,
    fail_fast: FailFastOption = False,
    html: HtmlOption = None,
    concurrency: ConcurrencyOption = 32,
    memory: MemoryOption = MEMORY_MIB,
    dask: DaskOption = None,
) -> ExitCode | None:
    """Copy all keys below SRC to the same names below DST, or one key.

    Keys that are equal at both URLs are not copied. Nothing is deleted. Chunks are copied before
    the metadata that makes them visible. One key is always copied: --compare, --include, --exclude
    and --atomic are for folders only.
    """
    from ...transfer import blocking

    with (
        transfer_report(html, output, "Copy to", src, dst, dry_run=dry_run) as write_page,
        src.open() as source,
    ):
        is_empty = True
        with missing_as_empty():
            is_empty = source.sync.is_empty("")
        if is_empty:
            _refuse_options_of_folders(compare, include, exclude, atomic)
            copied = _copy_key(src, dst, output, dry_run=dry_run)
            if copied is None:
                return None
            write_page(copied)
            return report(copied, output)
        options = transfer_options(compare, include, exclude, concurrency, memory, dask)
        with dst.open(read_only=dry_run) as target:
            require_folder(target, "DST")
            if dry_run:
                if atomic:
                    blocking.check_fresh(target)
                with blocking.plan(source, target, **options) as planned:
                    return print_plan(planned, output)
            with ShownProgress(output, keeps_uploads=target._backend.keeps_uploads) as shown:
                options["on_progress"] = shown
                result = blocking.copy(
                    source, target, atomic=atomic, fail_fast=fail_fast, **options
                )
            write_page(result)
    return report(result, output)


def _refuse_options_of_folders(
    compare: CompareMode, include: list[str] | None, exclude: list[str] | None, atomic: bool
) -> None:
    given = {
        "--compare": compare is not CompareMode.CHECKSUM,
        "--include": include,
        "--exclude": exclude,
        "--atomic": atomic,
    }
    for option, value in given.items():
        if value:
            raise typer.BadParameter("SRC is one key, which is always copied", param_hint=option)


def _copy_key(src: Place, dst: Place, output: Output, *, dry_run: bool) -> "Result | None":
    """Copy a key. The result is ``None`` with ``dry_run``."""
    from ...errors import StoreURLError
    from ...transfer import Result

    try:
        above, key = src.split()
    except StoreURLError:
        raise no_keys(src, "SRC") from None
    started_at = time.monotonic()
    with above.open() as source:
        if not source.sync.exists(key):
            raise no_keys(src, "SRC")
        target_at, name = KeyAt(dst, key) if dst.url.endswith("/") else dst.split()
        with target_at.open(read_only=dry_run) as target:
            if dry_run:
                # An error if the target cannot be reached, or has no bucket.
                target.sync.is_empty("")
                if output.json:
                    output.document({"action": "copy", "key": name})
                else:
                    output.line(f"copy\t{printable(name)}")
                output.note(f"1 to copy ({human_size(source.sync.getsize(key))})")
                return None
            target.sync.copy_from(source, key, name)
            size = target.sync.getsize(name)
    return Result(
        listed=1,
        is_listed=True,
        planned=1,
        planned_bytes=size,
        copied=1,
        copied_bytes=size,
        seconds=time.monotonic() - started_at,
    )
