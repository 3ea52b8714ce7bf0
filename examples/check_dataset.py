"""Fail when a zarr data set is incomplete: for CI, and after copying one.

    python examples/check_dataset.py s3://bucket/climate.zarr --option anon=true
    python examples/check_dataset.py /data/climate.zarr --json

`fsspec_store.dataset.check` does the work, from one listing. Exits with 0 when the data set is
complete, 1 when it is not, 2 when it could not be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from open_by_url import parse_option

from fsspec_store import FsspecStore
from fsspec_store.dataset import blocking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fsspec_store.dataset import Report

_COLUMNS = ("path", "chunks", "present", "missing", "broken", "bytes")

#: Number of examples of each finding that are printed.
_FIRST_FEW = 5


def format_report(report: Report) -> str:
    """A table of the arrays, and below it what is wrong."""
    arrays = [array.to_dict() for array in report.arrays]
    rows = [[format_cell(array[column]) for column in _COLUMNS] for array in arrays]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (_COLUMNS, *rows)
    ]
    for finding in report.errors:
        name = finding.kind.replace("_", " ")
        for key, reason in finding.examples[:_FIRST_FEW]:
            lines.append(f"{name}: {key}" + (f" ({reason})" if reason else ""))
        if finding.count > _FIRST_FEW:
            lines.append(f"... and {finding.count - _FIRST_FEW:,} more in {finding.path or '/'}")
    lines.append("complete" if report.ok else "INCOMPLETE")
    return "\n".join(lines)


def format_cell(value: str | int | None) -> str:
    # Many web servers list no sizes.
    return f"{value:,}" if isinstance(value, int) else "?" if value is None else value or "/"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fail when a zarr data set is incomplete.")
    parser.add_argument("url")
    parser.add_argument(
        "--option", action="append", default=[], type=parse_option, metavar="NAME=VALUE"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--allow-missing-chunks", action="store_true", help="count missing chunks, but do not fail"
    )
    given = parser.parse_args(arguments)
    try:
        with FsspecStore.from_url(given.url, dict(given.option), read_only=True) as store:
            report = blocking.check(store, allow_missing=given.allow_missing_chunks)
    except Exception as error:
        # Nothing was checked: Python's own exit code of 1 means "incomplete" here.
        print("error:", *str(error).split(), file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps({"url": store.url, **report.to_dict()}, indent=2))
    else:
        print(format_report(report))
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
