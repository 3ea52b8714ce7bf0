"""``ls``: keys and prefixes of a place."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer

from ..frame import command
from ..listed import listed_sizes, sizes_of
from ..missing import no_keys
from ..output import Output
from ..place import Place
from ..text import printable, size_text


@command(
    examples=[
        ("s3://bucket/climate.zarr", "Names directly below a prefix"),
        ("-rl --json s3://bucket/climate.zarr", "Every key with its size, a line of JSON for each"),
    ]
)
def ls(
    place: Place,
    output: Output,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="List every key below the URL.")
    ] = False,
    long: Annotated[bool, typer.Option("-l", "--long", help="Show sizes.")] = False,
    in_bytes: Annotated[bool, typer.Option("--bytes", help="Show sizes in bytes.")] = False,
) -> None:
    """List the names directly below a URL, or every key below it."""
    long = long or in_bytes
    is_empty = True
    for name, size, is_prefix in _keys(place) if recursive else _children(place, sizes=long):
        is_empty = False
        if output.json:
            entry = {"key": name} if recursive else {"name": name}
            output.document({**entry, "size": size} if recursive or long else entry)
            continue
        text = output.prefix(name) if is_prefix else printable(name)
        if long:
            text = output.sized(size_text(size, in_bytes=in_bytes), text)
        output.line(text)
    if is_empty:
        raise no_keys(place)


def _keys(place: Place) -> Iterator[tuple[str, int | None, bool]]:
    with place.open() as store:
        for key, size in listed_sizes(store):
            yield key, size, False


def _children(place: Place, *, sizes: bool) -> Iterator[tuple[str, int | None, bool]]:
    """Name, size, and whether the name is a prefix and no key: known only with ``sizes``."""
    with place.open() as store:
        names = sorted(store.sync.list_dir(""))
        known = sizes_of(store, names) if sizes else [None] * len(names)
    for name, size in zip(names, known, strict=True):
        yield name, size, sizes and size is None
    if not names:
        yield from _key_itself(place)


def _key_itself(place: Place) -> Iterator[tuple[str, int | None, bool]]:
    from ...errors import KeyNotFoundError, StoreURLError

    with suppress(StoreURLError, KeyNotFoundError):
        above, key = place.split()
        with above.open() as store:
            yield key, store.sync.getsize(key), False
