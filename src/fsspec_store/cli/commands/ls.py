"""``ls``: keys and prefixes of a place."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ..frame import command
from ..help import LOOK
from ..listed import described
from ..missing import missing_as_empty, no_keys
from ..output import Output
from ..place import Place
from ..text import printable, size_text

if TYPE_CHECKING:
    from ... import FsspecStore
    from ...contract import Entry

#: A key or prefix. The entry is ``None`` for a prefix, and for a key without details.
_Named: TypeAlias = "tuple[str, Entry | None]"


@command(
    LOOK,
    examples=[
        ("s3://bucket/climate.zarr", "Names directly below a prefix"),
        ("-rl --json s3://bucket/climate.zarr", "Every key with its size, a line of JSON for each"),
    ],
)
def ls(
    place: Place,
    output: Output,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="List every key below the URL.")
    ] = False,
    long: Annotated[
        bool, typer.Option("-l", "--long", help="Show sizes, and prefixes with a '/'.")
    ] = False,
    in_bytes: Annotated[bool, typer.Option("--bytes", help="Show sizes in bytes.")] = False,
) -> None:
    """List the names directly below a URL, or every key below it.

    Sizes are those of the listing. On a web server each size is a request.
    """
    is_detailed = long or in_bytes or output.json
    is_empty = True
    with missing_as_empty(), place.open() as store:
        for name, entry in _names(store, recursive=recursive, is_detailed=is_detailed):
            is_empty = False
            _print(name, entry, output, recursive=recursive, long=long, in_bytes=in_bytes)
    if is_empty:
        for name, entry in _key_itself(place):
            is_empty = False
            _print(name, entry, output, recursive=False, long=long, in_bytes=in_bytes)
    if is_empty:
        raise no_keys(place)


def _names(store: "FsspecStore", *, recursive: bool, is_detailed: bool) -> Iterable[_Named]:
    if recursive:
        if is_detailed:
            return ((entry.key, entry) for entry in store.sync.list_entries())
        return ((key, None) for key in store.sync.list())
    if is_detailed:
        return sorted(store.sync.list_dir_entries(""), key=itemgetter(0))
    return ((name, None) for name in sorted(store.sync.list_dir("")))


def _key_itself(place: Place) -> Iterator[_Named]:
    from ...errors import KeyNotFoundError, StoreURLError

    with suppress(StoreURLError, KeyNotFoundError):
        above, key = place.split()
        with above.open() as store:
            yield key, store.sync.get_entry(key)


def _print(
    name: str,
    entry: "Entry | None",
    output: Output,
    *,
    recursive: bool,
    long: bool,
    in_bytes: bool,
) -> None:
    if output.json:
        shown: dict[str, object] = {"key" if recursive else "name": name}
        if not recursive:
            shown["is_prefix"] = entry is None
        output.document({**shown, **described(entry)})
    elif long or in_bytes:
        text = output.prefix(name) if entry is None else printable(name)
        size = None if entry is None else entry.size
        output.line(output.sized(size_text(size, in_bytes=in_bytes), text))
    else:
        output.line(printable(name))
