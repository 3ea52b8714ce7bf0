"""``du``: numbers of keys and bytes."""

from typing import Annotated

import typer

from ..frame import command
from ..help import LOOK
from ..listed import listed_sizes
from ..missing import no_keys
from ..output import Output
from ..place import Place
from ..text import size_text
from ..totals import Totals


@command(
    LOOK,
    examples=[
        ("s3://bucket/climate.zarr", "Bytes and keys of each array, and in total"),
        ("--depth 0 --bytes ./climate.zarr", "The total only, in bytes"),
    ],
)
def du(
    place: Place,
    output: Output,
    depth: Annotated[
        int, typer.Option("-d", "--depth", min=0, help="Number of levels to show.")
    ] = 1,
    in_bytes: Annotated[bool, typer.Option("--bytes", help="Show sizes in bytes.")] = False,
) -> None:
    """Show the bytes and number of keys of each name below a URL.

    The columns are size, number of keys, and name. The last line, with the name ".", is the total.
    """
    with place.open() as store:
        totals = Totals.of(listed_sizes(store), depth)
    if not totals.keys:
        raise no_keys(place)
    if output.json:
        output.document(totals.as_dict(place.shown))
        return
    rows = [(name + "/" if child.is_prefix else name, child) for name, child in totals.walk()] + [
        (".", totals)
    ]
    output.table(
        ("size", "keys", "name"),
        [
            (size_text(child.bytes, in_bytes=in_bytes), str(child.keys), name)
            for name, child in rows
        ],
        right=2,
    )
