"""``check``: finds what is missing or broken in a zarr data set."""

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..exit_codes import ExitCode
from ..frame import command
from ..help import CHECK, SPEED
from ..missing import require_keys
from ..output import Output
from ..place import Place
from ..report_file import HtmlOption, JunitOption, check_reports
from ..text import human_size, printable
from ..transferring import DaskOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ...dataset import Finding, Progress


@command(
    CHECK,
    examples=[
        ("s3://bucket/climate.zarr", "Missing, broken and superfluous keys, from one listing"),
        ("--deep --allow-missing 'mask/*' s3://bucket/climate.zarr", "Decode every chunk"),
        ("--html report.html s3://bucket/climate.zarr", "A page with a map of the chunks"),
    ],
)
def check(
    place: Place,
    output: Output,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every chunk, with zarr.")] = False,
    shards: Annotated[
        bool, typer.Option("--shards", help="Verify the index of each shard.")
    ] = False,
    allow_missing: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-missing", metavar="GLOB", help="Arrays that may lack chunks. Repeatable."
        ),
    ] = None,
    expectation: Annotated[
        Path | None,
        typer.Option("--expectation", help="File with the chunks that have to be present."),
    ] = None,
    write_expectation: Annotated[
        Path | None,
        typer.Option("--write-expectation", help="Write the chunks that are present to a file."),
    ] = None,
    html: HtmlOption = None,
    junit: JunitOption = None,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            min=1,
            metavar="N",
            help="Chunks that are read at once.",
            rich_help_panel=SPEED,
        ),
    ] = 16,
    dask: DaskOption = None,
) -> ExitCode:
    """Find missing and broken chunks of a zarr data set.

    It also finds keys that belong to nothing. The exit code is 1 if something is wrong. Without
    --deep and --shards no chunk is read.
    """
    from ...dataset import blocking

    if dask is not None and not deep:
        raise typer.BadParameter("needs --deep: only the decoding is split", param_hint="--dask")
    expected = None if expectation is None else _read_expectation(expectation)
    started = time.monotonic()
    with (
        check_reports(html, junit, output, place) as write_reports,
        place.open() as store,
        _totals_so_far(output) as shown,
    ):
        require_keys(store, place)
        found = blocking.check(
            store,
            deep=deep,
            shards=shards,
            allow_missing=allow_missing or (),
            expectation=expected,
            concurrency=concurrency,
            client=dask,
            on_progress=shown,
        )
        write_reports(found, time.monotonic() - started)
    if write_expectation is not None:
        write_expectation.write_text(json.dumps(found.expectation()))
    if output.json:
        output.document({"url": place.shown, **found.to_dict()})
    else:
        rows = [
            (
                f"{len(array.present):,}",
                f"{len(array.missing):,}",
                f"{len(array.broken):,}",
                "-" if array.bytes is None else human_size(array.bytes),
                array.path or "/",
            )
            for array in found.arrays
        ]
        output.table(("present", "missing", "broken", "size", "array"), rows, right=4)
    _print_findings(found.findings, output)
    output.note("complete" if found.ok else "not complete")
    return ExitCode.DONE if found.ok else ExitCode.INCOMPLETE


@contextmanager
def _totals_so_far(output: Output) -> "Iterator[Callable[[Progress], None]]":
    """Show how far the check is if it is interrupted or fails. The value is its ``on_progress``."""
    last: Progress | None = None

    def note(progress: "Progress") -> None:
        nonlocal last
        last = progress

    try:
        yield note
    except (Exception, KeyboardInterrupt):
        if last is not None:
            output.so_far = {
                "ok": False,
                "keys": last.keys,
                "bytes": last.bytes,
                "chunks": last.chunks,
                "decoded": last.decoded,
                "findings": [each.to_dict() for each in last.findings],
            }
            _print_findings(last.findings, output)
            output.note(
                f"so far: {last.keys:,} keys listed, {last.chunks:,} chunks present, "
                f"{last.decoded:,} decoded"
            )
        raise


def _print_findings(findings: "Iterable[Finding]", output: Output) -> None:
    for finding in findings:
        for key, reason in finding.examples:
            text = f"{finding.severity}: {finding.kind.replace('_', ' ')}: {printable(key)}"
            output.note(f"{text} ({reason})" if reason else text)
        more = finding.count - len(finding.examples)
        if more:
            output.note(f"and {more:,} more of this kind in {printable(finding.path) or '/'}")


def _read_expectation(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"cannot read an expectation from {file}: {error}", param_hint="--expectation"
        ) from None
