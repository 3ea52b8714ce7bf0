"""Fills the bucket before a run, and checks what the candidates write and delete.

It runs in the process that commands the candidates, with a store of this package. Its work is not
measured.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from benchmarks import contents
from benchmarks.contents import ARRAYS, HUGE, LISTED, VALUES
from benchmarks.zarr_operations import make_arrays
from fsspec_store import Buffer
from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.operation import Effect, Operation
    from benchmarks.places import Place
    from benchmarks.scale import Scale


class WrongEffectError(Exception):
    """An operation left other keys or values in the bucket than expected."""


class Keeper:
    """Keeps the bucket at a place as the operations expect it."""

    def __init__(self, place: Place, scale: Scale) -> None:
        self._scale = scale
        options = place.endpoint.storage_options()
        self._stores = {
            root: ZarrStore.from_url(place.below(root).url, options)
            for root in (VALUES, LISTED, ARRAYS)
        }
        self._runner = asyncio.Runner()

    def fill(self, operations: Iterable[Operation]) -> None:
        """Write what some operations read."""
        fill: dict[str, Callable[[], None]] = {
            VALUES: self._fill_values,
            LISTED: self._fill_listed,
            ARRAYS: lambda: make_arrays(self._stores[ARRAYS], self._scale),
        }
        for root in dict.fromkeys(operation.root for operation in operations):
            fill[root]()

    def prepare(self, operation: Operation, *, for_check: bool = False) -> None:
        """Have below an operation's folder what it is to find there."""
        effect = operation.effect
        if effect is None:
            return
        if for_check:
            self._runner.run(self._stores[operation.root].delete_dir(effect.folder))
        values = {key: key.encode() for key in effect.before(self._scale)}
        self._write(operation.root, values.items())

    def look(self, operation: Operation) -> None:
        """Refuse anything but what an operation is to leave below its folder.

        Raises
        ------
        WrongEffectError
            Naming the operation.
        """
        effect = operation.effect
        if effect is not None:
            found = self._runner.run(self._found(operation.root, effect))
            if found != effect.after(self._scale):
                raise WrongEffectError(f"{operation.name} left other keys or values than expected")

    async def _found(self, root: str, effect: Effect) -> Mapping[str, bytes]:
        store, found = self._stores[root], {}
        async for key in store.list_prefix(f"{effect.folder}/"):
            value = await store.get(key)
            found[key] = value.to_bytes() if value is not None else b""
        return found

    def _fill_values(self) -> None:
        small = (contents.value_key(turn, self._scale) for turn in range(self._scale.values))
        large = (contents.large_key(turn, self._scale) for turn in range(self._scale.large_values))
        self._write(VALUES, ((key, contents.value(key)) for key in small))
        self._write(VALUES, ((key, contents.large(key)) for key in large))
        self._write(VALUES, [(HUGE, contents.huge(self._scale))])

    def _fill_listed(self) -> None:
        value = bytes(contents.LISTED_BYTES)
        self._write(LISTED, ((key, value) for key in contents.listed_keys(self._scale)))

    def _write(self, root: str, values: Iterable[tuple[str, bytes]]) -> None:
        buffers: Iterator[tuple[str, Buffer]] = (
            (key, Buffer.from_bytes(value)) for key, value in values
        )
        self._runner.run(self._stores[root]._set_many(buffers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for store in self._stores.values():
            self._runner.run(store.aclose())
        self._runner.close()
