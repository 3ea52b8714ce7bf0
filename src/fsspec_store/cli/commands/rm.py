"""``rm``: deletes a key, or all keys below a URL."""

import sys
from typing import Annotated

import typer

from ...errors import RefusedError
from ..exit_codes import ExitCode
from ..frame import command
from ..listed import listed_sizes
from ..missing import no_keys
from ..output import Output
from ..place import KeyAt, Place
from ..text import human_size, printable


@command(
    examples=[
        ("s3://bucket/climate.zarr/notes.txt", "One key"),
        ("-r --dry-run s3://bucket/old.zarr", "The keys that would be deleted"),
        ("-r --yes --max-delete 5000 s3://bucket/old.zarr", "A data set, from a script"),
    ]
)
def rm(
    place: Place,
    output: Output,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Delete every key below the URL.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Print the keys, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask before -r.")] = False,
    max_delete: Annotated[
        int | None,
        typer.Option("--max-delete", min=0, metavar="N", help="Refuse to delete more keys."),
    ] = None,
) -> ExitCode | None:
    """Delete a key, or with -r every key below a URL.

    With -r it asks first. Without a terminal it refuses, with exit code 7, unless --yes is given.
    """
    if not recursive:
        _remove_key(place, output, dry_run=dry_run)
        return None
    if not (dry_run or yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise RefusedError(f"refused to delete all keys below {place.shown!r} without --yes")
    above, name = _folder(place)
    prefix = f"{name}/" if name else ""
    keys = size = 0
    with above.open() as store:
        for key, each in listed_sizes(store, prefix):
            keys, size = keys + 1, size + each
            if dry_run:
                _print_key(key.removeprefix(prefix), output)
    if not keys:
        raise no_keys(place)
    if max_delete is not None and keys > max_delete:
        raise RefusedError(
            f"refused to delete {keys:,} keys below {place.shown!r}: --max-delete is {max_delete:,}"
        )
    if dry_run:
        output.note(f"{keys:,} keys, {human_size(size)}, would be deleted")
        return None
    if not yes:
        _confirm(f"Delete {keys:,} keys, {human_size(size)}, below {place.shown}? [y/N] ")
    return _remove_below(above, name, keys, output)


def _remove_key(place: Place, output: Output, *, dry_run: bool) -> None:
    from ...errors import KeyNotFoundError

    above, key = place.split()
    with above.open(read_only=dry_run) as store:
        if not store.sync.exists(key):
            raise KeyNotFoundError(f"no key {key!r} in {above.shown}", key=key, url=above.shown)
        if dry_run:
            _print_key(key, output)
            return
        store.sync.delete(key)
    _report(1, output)


def _folder(place: Place) -> KeyAt:
    """The prefix to delete, and the place above it: a folder is deleted with its keys."""
    from ..._core.urls import BUCKET_PROTOCOLS, links_of, protocol_of
    from ...errors import InvalidKeyError, StoreURLError

    try:
        above, name = place.split(is_prefix=True)
    except StoreURLError:
        links = links_of(place.url)
        if len(links) > 1 or protocol_of(links[0]) not in BUCKET_PROTOCOLS:
            raise RefusedError(f"refused to delete all of {place.shown!r}") from None
        return KeyAt(place, "")
    if name in (".", ".."):
        raise InvalidKeyError(f"cannot delete {name!r}: name the folder", key=name)
    return KeyAt(above, name)


def _remove_below(above: Place, name: str, keys: int, output: Output) -> ExitCode | None:
    from ...errors import StoreError

    with above.open(read_only=False) as store:
        try:
            store.sync.delete_dir(name)
        except StoreError as error:
            kept = sum(1 for _ in store.sync.list_prefix(f"{name}/" if name else ""))
            if not 0 < kept < keys:
                raise
            output.failed(error)
            output.error(f"deleted {keys - kept:,} of {keys:,} keys")
            return ExitCode.SOME_FAILED
    _report(keys, output)
    return None


def _confirm(question: str) -> None:
    sys.stderr.write(printable(question))
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("nothing was deleted")


def _print_key(key: str, output: Output) -> None:
    if output.json:
        output.document({"key": key})
    else:
        output.line(printable(key))


def _report(keys: int, output: Output) -> None:
    if output.json:
        output.document({"deleted": keys})
    else:
        output.note(f"deleted {keys:,} {'key' if keys == 1 else 'keys'}")
