"""``rm``: deletes a key, or all keys below a URL."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import RefusedError
from ..exit_codes import ExitCode
from ..frame import command
from ..help import MOVE, SAFETY
from ..listed import listed_sizes
from ..missing import keys_below_noted, no_keys
from ..output import Output
from ..place import KeyAt, Place
from ..progress import ShownProgress
from ..text import counted, human_size, printable
from ..transferring import (
    ConcurrencyOption,
    ExcludeOption,
    IncludeOption,
    MaxDeleteOption,
    bound,
    document_of,
    ended,
    print_failures,
)

if TYPE_CHECKING:
    from ...transfer import Result, Selection

#: Names of the document of a transfer that are about deletions.
_IN_DOCUMENT = (
    *("error", "exit_code", "message", "ok"),
    *("deleted", "failed", "not_tried", "stopped_by", "failures"),
)


@command(
    MOVE,
    examples=[
        ("s3://bucket/climate.zarr/notes.txt", "One key"),
        ("-rn --include 'air/**' s3://bucket/old.zarr", "The keys that would be deleted"),
        ("-r --yes --max-delete 5000 s3://bucket/old.zarr", "A data set, from a script"),
    ],
)
def rm(
    place: Place,
    output: Output,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Delete every key below the URL.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "-n", "--dry-run", help="Print the keys, and delete nothing.", rich_help_panel=SAFETY
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask before -r.", rich_help_panel=SAFETY)
    ] = False,
    max_delete: MaxDeleteOption = "100%",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    concurrency: ConcurrencyOption = 32,
) -> ExitCode | None:
    """Delete a key, or with -r every key below a URL.

    Metadata is deleted first, from the root on, and chunks last.

    With -r it asks first. Without a terminal it refuses, with exit code 7, unless --yes is given.
    If some keys cannot be deleted, the others are, and the exit code is 5.
    """
    most = bound(max_delete)
    if not recursive:
        if include or exclude:
            raise typer.BadParameter("needs --recursive", param_hint="--include and --exclude")
        _remove_key(place, output, dry_run=dry_run)
        return None
    at = _folder(place)
    if not (dry_run or yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise RefusedError(f"refused to delete all keys below {place.shown!r} without --yes")
    from ...transfer import Selection, blocking

    selection = Selection(include or (), exclude or ())
    links = _links(place)
    if links and not selection.is_all:
        raise RefusedError(
            f"refused to delete through the link {links[0].lstrip('/')!r} to a folder: delete all "
            "keys, which removes the link only, or name the folder"
        )
    if dry_run or not yes or links:
        keys, size = _count(place, output, selection, most, dry_run=dry_run)
        if dry_run:
            return None
        if not yes:
            _confirm(f"Delete {counted(keys)}, {human_size(size)}, below {place.shown}? [y/N] ")
            most = keys
    if links:
        _remove_links(links, at, output)
    with place.open(read_only=False) as store, DeletionProgress(output) as shown:
        result = blocking.remove(
            store,
            max_delete=most,
            include=selection.include,
            exclude=selection.exclude,
            concurrency=concurrency,
            on_progress=shown,
        )
    if not (result.listed or links):
        raise no_keys(place)
    if result.ok and selection.is_all:
        # Empty folders, markers of folders, and temporary files of killed writers.
        with at.place.open(read_only=False) as above:
            above.sync.delete_dir(at.key)
    return _report(result, output)


def _count(
    place: Place, output: Output, selection: "Selection", most: float, *, dry_run: bool
) -> tuple[int, int]:
    """Number and bytes of the keys that would be deleted; a dry run prints them."""
    from ...transfer import check_deletes

    listed = keys = size = 0
    with place.open() as store:
        for key, each in listed_sizes(store):
            listed += 1
            if key in selection:
                keys, size = keys + 1, size + each
                if dry_run:
                    _print_key(key, output)
    if not listed:
        raise no_keys(place)
    if dry_run:
        output.note(f"{counted(keys)}, {human_size(size)}, would be deleted")
    check_deletes(keys, listed, most)
    return keys, size


def _links(place: Place) -> list[str]:
    """The links to folders below a local folder, relative to it; ``""`` is the folder itself."""
    from fsspec.implementations.local import LocalFileSystem

    with place.open() as store:
        if type(store.fs) is not LocalFileSystem:
            return []
        root = store.fs._strip_protocol(place.url).rstrip("/")
    if os.path.islink(root):
        return [""]
    paths = (f"{folder}/{name}" for folder, names, _ in os.walk(root) for name in names)
    return [path[len(root) :] for path in paths if os.path.islink(path)]


def _remove_links(links: list[str], at: KeyAt, output: Output) -> None:
    """Remove links to folders. Keys below them would be deleted where they refer to."""
    with at.place.open(read_only=False) as above:
        for link in links:
            above.sync.delete_dir(at.key + link)
    output.note(f"removed {counted(len(links), 'link')} to folders, whose files stay")


def _remove_key(place: Place, output: Output, *, dry_run: bool) -> None:
    from ...errors import KeyNotFoundError
    from ...transfer import Result

    above, key = place.split()
    with (
        above.open(read_only=dry_run) as store,
        keys_below_noted(store, key, ": -r deletes them"),
    ):
        if not store.sync.exists(key):
            raise KeyNotFoundError(f"no key {key!r} in {above.shown}", key=key, url=above.shown)
        if dry_run:
            _print_key(key, output)
            output.note(f"1 key, {human_size(store.sync.getsize(key))}, would be deleted")
            return
        store.sync.delete(key)
    _report(Result(deleted=1), output)


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


def _totals(result: "Result") -> str:
    failed = f", {result.failed:,} failed" if result.failed else ""
    return f"deleted {counted(result.deleted)}{failed}"


def _deleted(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in _IN_DOCUMENT if name in document}


class DeletionProgress(ShownProgress):
    """The progress of a deletion, and its totals if it ends early."""

    def document(self, result: "Result") -> dict[str, Any]:
        """The result so far for JSON."""
        return _deleted(super().document(result))

    def totals(self, result: "Result") -> str:
        """The numbers so far."""
        return _totals(result)


def _report(result: "Result", output: Output) -> ExitCode:
    if output.json:
        output.document(_deleted(document_of(result, output)))
    print_failures(result.failed, result.failures, output)
    output.note(_totals(result))
    return ended(result, output)
