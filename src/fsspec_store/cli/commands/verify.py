"""``verify``: compares the keys below two URLs."""

from typing import Annotated

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import CHECK
from ..missing import require_folder, require_keys
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
    IncludeOption,
    MemoryOption,
    document_of,
    ended,
    print_failures,
    print_left_out,
    print_operation,
    transfer_options,
)


@command(
    CHECK,
    examples=[
        ("./climate.zarr s3://bucket/climate.zarr", "By the checksums of the listings"),
        ("--compare bytes ./climate.zarr s3://bucket/climate.zarr", "By reading all values"),
    ],
)
def verify(
    src: Place,
    dst: Place,
    output: Output,
    compare: CompareOption = CompareMode.CHECKSUM,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    ignore_extra: Annotated[
        bool, typer.Option("--ignore-extra", help="Accept keys that only DST has.")
    ] = False,
    html: HtmlOption = None,
    concurrency: ConcurrencyOption = 32,
    memory: MemoryOption = MEMORY_MIB,
    dask: DaskOption = None,
) -> ExitCode:
    """Compare the keys below SRC and DST, and print those that differ. Changes nothing.

    The exit code is 1 for differences. Each line has what would make the key equal, the reason,
    and the key. The first 10,000 are printed.
    """
    from ...transfer import blocking

    options = transfer_options(compare, include, exclude, concurrency, memory, dask)
    with (
        transfer_report(html, output, "Comparison with", src, dst) as write_page,
        src.open() as source,
        dst.open() as target,
    ):
        require_keys(source, src, "SRC")
        require_folder(target, "DST")
        with ShownProgress(output, compares=True) as shown:
            options["on_progress"] = shown
            result = blocking.verify(source, target, extra=not ignore_extra, **options)
        write_page(result)
    if output.json:
        output.document(document_of(result, output))
    else:
        for operation in result.differences:
            print_operation(operation, output)
    print_failures(result.failed, result.failures, output)
    output.note(f"{result.equal:,} equal, {result.differing:,} differ, {result.failed:,} failed")
    print_left_out(result, output)
    if result.failed or result.left_out:
        return ended(result, output)
    return ExitCode.INCOMPLETE if result.differing else ExitCode.DONE
