"""``tree``: prefixes and keys of a place as a tree."""

from collections.abc import Iterator
from typing import Annotated

import typer

from ..frame import command
from ..help import LOOK
from ..listed import listed_sizes
from ..missing import no_keys
from ..output import Output
from ..place import Place
from ..text import counted, human_size, printable
from ..totals import Totals


@command(
    LOOK,
    examples=[
        ("s3://bucket/climate.zarr", "Groups and arrays of a data set"),
        ("--depth 1 --json ./climate.zarr", "One level, as one JSON document"),
    ],
)
def tree(
    place: Place,
    output: Output,
    depth: Annotated[
        int, typer.Option("-d", "--depth", min=1, help="Number of levels to show.")
    ] = 3,
) -> None:
    """Show prefixes and keys as a tree.

    Prefixes of the last level have the number of their keys and their bytes.
    """
    with place.open() as store:
        totals = Totals.of(listed_sizes(store), depth)
    if not totals.keys:
        raise no_keys(place)
    if output.json:
        output.document(totals.as_dict(place.shown))
        return
    output.line(f"{printable(place.shown)} ({_summary(totals)})")
    for line in _lines(totals, output, ""):
        output.line(line)


def _lines(totals: Totals, output: Output, indent: str) -> Iterator[str]:
    children = totals.sorted_children()
    for number, (name, child) in enumerate(children, 1):
        is_last = number == len(children)
        shown = output.prefix(name) if child.is_prefix else printable(name)
        cut = f" ({_summary(child)})" if child.is_prefix and not child.children else ""
        yield f"{indent}{'└── ' if is_last else '├── '}{shown}{cut}"
        yield from _lines(child, output, indent + ("    " if is_last else "│   "))


def _summary(totals: Totals) -> str:
    return f"{counted(totals.keys)}, {human_size(totals.bytes)}"
