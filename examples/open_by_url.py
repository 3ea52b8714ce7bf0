"""Open any fsspec URL as a store and look around in it.

    python examples/open_by_url.py s3://bucket/path --option anon=true
    python examples/open_by_url.py memory://nothing-here
    python examples/open_by_url.py /data/climate.zarr

`look_around` is the function to copy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fsspec_store import FsspecStore, RangeByteRequest, StoreError, SuffixByteRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


async def look_around(url: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Print what a store holds: some keys, its children, its size, two ends of one value.

    Parameters
    ----------
    url : str
        ``s3://bucket/path``, ``gs://...``, ``https://...``, ``memory://...``, a plain path.
    storage_options : mapping, optional
        Options of the filesystem, such as ``key``, ``secret``, ``endpoint_url``, ``anon``.
    """
    # "empty": the first bytes of an empty value are no bytes here, rather than an error.
    async with FsspecStore.from_url(
        url, storage_options, read_only=True, out_of_range="empty"
    ) as store:
        print(f"store     {store!r}")

        keys: list[str] = []
        # Keys arrive page by page: leaving early leaves the other pages unlisted.
        async with aclosing(store.list()) as listing:
            async for key in listing:
                keys.append(key)
                print(f"key       {key}")
                if len(keys) == 10:
                    break

        print("children ", *sorted([name async for name in store.list_dir("")]))
        print(f"size      {await store.getsize_prefix('')} bytes")

        if keys:
            first = await store.get(keys[0], byte_range=RangeByteRequest(0, 16))
            last = await store.get(keys[0], byte_range=SuffixByteRequest(16))
            # None is a key that somebody removed since it was listed.
            if first is not None and last is not None:
                print(f"first     {first.to_bytes()!r} of {keys[0]}")
                print(f"last      {last.to_bytes()!r} of {keys[0]}")


def parse_option(text: str) -> tuple[str, Any]:
    """Read ``name=value``, the value as JSON where it is JSON (``true``, ``5``, ``{...}``)."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Open any fsspec URL as a store and look around.")
    parser.add_argument("url")
    parser.add_argument(
        "--option", action="append", default=[], type=parse_option, metavar="NAME=VALUE"
    )
    given = parser.parse_args(arguments)
    try:
        asyncio.run(look_around(given.url, dict(given.option)))
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
