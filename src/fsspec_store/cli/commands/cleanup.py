"""``cleanup``: lists and removes what interrupted writes have left."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ..frame import command
from ..help import PLACES, SAFETY
from ..missing import is_missing_folder, no_keys
from ..output import Output
from ..place import Place
from ..text import counted, printable, size_text

if TYPE_CHECKING:
    from ..._core.leftovers import Leftover

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@command(
    PLACES,
    examples=[
        ("-n s3://bucket/climate.zarr", "Unfinished uploads and temporary files of a day ago"),
        ("--older-than 0 s3://bucket/climate.zarr", "Remove all: no other program may be writing"),
    ],
)
def cleanup(
    place: Place,
    output: Output,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Keep what is younger: seconds, or a number with s, m, h or d.",
        ),
    ] = "1d",
    dry_run: Annotated[
        bool,
        typer.Option(
            "-n", "--dry-run", help="Print what would be removed.", rich_help_panel=SAFETY
        ),
    ] = False,
) -> None:
    """Remove what interrupted writes have left below a URL.

    These are unfinished uploads and temporary files. No listing of keys shows them. What is younger
    than a day stays, as it may be of a write that runs, or that a second run can continue.
    """
    from ..._core.leftovers import BLOCKS, is_older

    seconds = _seconds(older_than)
    with place.open(read_only=dry_run) as store:
        if is_missing_folder(store):
            raise no_keys(place)
        found = (
            store.sync.remove_leftovers(older_than=seconds)
            if not dry_run
            else [
                each
                for each in store.sync.list_leftovers()
                if is_older(each, seconds) and each.kind != BLOCKS
            ]
        )
    for leftover in found:
        _print(leftover, output)
    done = "would be removed" if dry_run else "removed"
    output.note(f"{counted(len(found), 'leftover')} {done}")


def _seconds(age: str) -> float:
    match = _AGE.fullmatch(age)
    if match is None:
        raise typer.BadParameter("must be like 90, 30m, 12h or 1d", param_hint="--older-than")
    return float(match[1]) * _SECONDS[match[2]]


def _print(leftover: "Leftover", output: Output) -> None:
    modified = None if leftover.modified is None else leftover.modified.isoformat()
    if output.json:
        output.document(
            {
                "key": leftover.key,
                "kind": leftover.kind,
                "modified": modified,
                "size": leftover.size,
            }
        )
    else:
        size = size_text(leftover.size, in_bytes=False)
        output.line("\t".join((leftover.kind, modified or "-", size, printable(leftover.key))))
