"""``cat``: the bytes of a key."""

import re
import sys
from typing import Annotated

import typer

from ..frame import command
from ..output import Output
from ..place import Place


@command(
    examples=[
        ("s3://bucket/climate.zarr/zarr.json", "A whole value"),
        ("--range 0:16 ./climate.zarr/air/c/0/0", "Its first 16 bytes"),
    ],
    json=False,
)
def cat(
    place: Place,
    output: Output,
    byte_range: Annotated[
        str | None,
        typer.Option(
            "--range", metavar="START:END", help="Bytes from START up to END; both are optional."
        ),
    ] = None,
    suffix: Annotated[
        int | None, typer.Option("--suffix", min=0, metavar="N", help="The last N bytes.")
    ] = None,
) -> None:
    """Write the value of a key, or a part of it, to standard output."""
    from ... import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
    from ...errors import KeyNotFoundError

    request: OffsetByteRequest | RangeByteRequest | SuffixByteRequest | None = None
    if byte_range is not None:
        bounds = re.fullmatch(r"(\d*):(\d*)", byte_range)
        if bounds is None or suffix is not None:
            text = "must be START:END" if bounds is None else "is given with --suffix"
            raise typer.BadParameter(text, param_hint="--range")
        start = int(bounds[1] or 0)
        if not bounds[2]:
            request = OffsetByteRequest(start)
        elif int(bounds[2]) <= start:
            raise typer.BadParameter("END must be greater than START", param_hint="--range")
        else:
            request = RangeByteRequest(start, int(bounds[2]))
    elif suffix is not None:
        request = SuffixByteRequest(suffix)
    above, key = place.split()
    with above.open() as store:
        if request is None:
            with store.sync.open_reader(key) as reader:
                for part in reader:
                    sys.stdout.buffer.write(memoryview(part.as_numpy_array()))
            return
        value = store.sync.get(key, byte_range=request)
    if value is None:
        raise KeyNotFoundError(f"no key {key!r} in {above.shown}", key=key, url=above.shown)
    sys.stdout.buffer.write(memoryview(value.as_numpy_array()))
