"""``cat``: the bytes of a key."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ..frame import command
from ..help import LOOK
from ..missing import keys_below_noted
from ..output import Output
from ..place import Place

if TYPE_CHECKING:
    from ... import FsspecStore, RangeByteRequest, SuffixByteRequest

#: Largest part of a value that one request reads; a larger one is streamed.
_MOST_AT_ONCE = 8 * 2**20


@command(
    LOOK,
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
    """Write the value of a key, or a part of it, to standard output.

    A value of any size is written in memory of a few parts.
    """
    from ... import RangeByteRequest, SuffixByteRequest

    start, length = 0, None
    if byte_range is not None:
        if suffix is not None:
            raise typer.BadParameter("is given with --suffix", param_hint="--range")
        start, length = _bounds(byte_range)
    above, key = place.split()
    with above.open() as store, keys_below_noted(store, key):
        if suffix is not None and suffix > _MOST_AT_ONCE:
            entry = store.sync.get_entry(key)
            _stream(store, key, max(entry.size - suffix, 0), None, entry.version)
        elif suffix is not None:
            _write_part(store, key, SuffixByteRequest(suffix))
        elif length is not None and length <= _MOST_AT_ONCE:
            _write_part(store, key, RangeByteRequest(start, start + length))
        else:
            _stream(store, key, start, length)


def _bounds(text: str) -> tuple[int, int | None]:
    """The first byte of a range, and its number of bytes if it has an end."""
    bounds = re.fullmatch(r"(\d*):(\d*)", text)
    if bounds is None:
        raise typer.BadParameter("must be START:END", param_hint="--range")
    start = int(bounds[1] or 0)
    if not bounds[2]:
        return start, None
    if int(bounds[2]) <= start:
        raise typer.BadParameter("END must be greater than START", param_hint="--range")
    return start, int(bounds[2]) - start


def _write_part(
    store: "FsspecStore", key: str, request: "RangeByteRequest | SuffixByteRequest"
) -> None:
    from ...errors import KeyNotFoundError

    value = store.sync.get(key, byte_range=request)
    if value is None:
        raise KeyNotFoundError(f"no key {key!r} in {store.url}", key=key, url=store.url)
    sys.stdout.buffer.write(memoryview(value.as_numpy_array()))


def _stream(
    store: "FsspecStore", key: str, start: int, length: int | None, version: str | None = None
) -> None:
    """Write bytes from ``start`` on, at most ``length``, in memory of a few parts."""
    with store.sync.open_reader(key, start=start, version=version) as reader:
        for part in reader:
            view = memoryview(part.as_numpy_array())[:length]
            sys.stdout.buffer.write(view)
            if length is not None:
                length -= len(view)
                if not length:
                    return
