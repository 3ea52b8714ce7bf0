"""What programs that use zarr and xarray do with a store, from beginning to end.

Knows the public functions of zarr and xarray, in the defaults that their users get.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import contents
from benchmarks.contents import (
    ARRAYS,
    CHUNKED,
    DATASET,
    GROUP,
    LARGE_CHUNKED,
    SHARDED,
    WRITTEN,
)
from benchmarks.operation import Effect, Operation
from benchmarks.scale import CHUNK, LARGE, SHARD

if TYPE_CHECKING:
    import xarray

    from benchmarks.scale import Scale

_VARIABLES = 8

#: Made once, and not in each round.
_to_write = cache(partial(contents.chunked, name=WRITTEN))


def _read_array(store: Any, scale: Scale, turn: int) -> Any:
    import zarr

    return zarr.open_array(store, path=CHUNKED, mode="r")[:]


def _read_large_array(store: Any, scale: Scale, turn: int) -> Any:
    import zarr

    return zarr.open_array(store, path=LARGE_CHUNKED, mode="r")[:]


def _write_array(store: Any, scale: Scale, turn: int) -> None:
    import zarr

    zarr.open_array(store, path=WRITTEN, mode="r+")[:] = _to_write(scale)


def _read_slices(store: Any, scale: Scale, turn: int) -> Any:
    import zarr

    array = zarr.open_array(store, path=SHARDED, mode="r")
    return [array[part] for part in contents.slices(scale, turn)]


def _open_group(store: Any, scale: Scale, turn: int) -> list[str]:
    import zarr

    group = zarr.open_group(store, path=GROUP, mode="r", use_consolidated=False)
    return [name for name, _ in group.arrays()]


def _open_dataset(store: Any, scale: Scale, turn: int) -> Any:
    import xarray

    found = xarray.open_zarr(store, group=DATASET, consolidated=False, chunks=None)
    return _summary(found)


def _summary(found: xarray.Dataset) -> tuple[Any, ...]:
    """What a dataset is, without its values, except those of its coordinates."""
    coordinates = {name: found[name].values.tolist() for name in sorted(map(str, found.coords))}
    return (
        tuple(sorted(map(str, found.data_vars))),
        tuple(sorted((str(name), size) for name, size in found.sizes.items())),
        tuple(coordinates.items()),
    )


def make_arrays(store: Any, scale: Scale) -> None:
    """Write all that the operations here read."""
    import zarr

    as_it_is: dict[str, Any] = {"dtype": "uint8", "compressors": None, "filters": None}
    for name in (CHUNKED, WRITTEN):
        size = scale.chunks * CHUNK
        array = zarr.create_array(store, name=name, shape=(size,), chunks=(CHUNK,), **as_it_is)
        array[:] = contents.chunked(scale, name)
    large = contents.large_chunked(scale)
    array = zarr.create_array(
        store, name=LARGE_CHUNKED, shape=large.shape, chunks=(LARGE,), **as_it_is
    )
    array[:] = large
    data = contents.sharded(scale)
    array = zarr.create_array(
        store,
        name=SHARDED,
        shape=data.shape,
        chunks=(CHUNK,),
        shards=(SHARD,),
        **as_it_is,
    )
    array[:] = data
    group = zarr.create_group(store, path=GROUP)
    for name in contents.array_names(scale):
        group.create_array(name, shape=(8,), dtype="float32")
    dataset().to_zarr(store, group=DATASET, consolidated=False)


def dataset() -> xarray.Dataset:
    """A small dataset of some variables on three coordinates."""
    import xarray

    coordinates = {"time": np.arange(24), "y": np.linspace(-80, 80, 9), "x": np.arange(0, 360, 30)}
    shape = tuple(map(len, coordinates.values()))
    field = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    variables = {f"v{number}": (tuple(coordinates), field) for number in range(_VARIABLES)}
    return xarray.Dataset(variables, coordinates)


ZARR_OPERATIONS = (
    Operation(
        "read-array",
        "zarr: read {chunks} chunks of 16 KiB",
        ARRAYS,
        lambda scale, turn: contents.chunked(scale).tobytes(),
        blocking=_read_array,
        unit="chunk",
        amount=lambda scale: scale.chunks,
        calls=lambda scale: 1,
    ),
    Operation(
        "read-large-array",
        "zarr: read {large_chunks} chunks of 4 MiB",
        ARRAYS,
        lambda scale, turn: contents.large_chunked(scale).tobytes(),
        blocking=_read_large_array,
        unit="chunk",
        amount=lambda scale: scale.large_chunks,
        calls=lambda scale: 1,
        most_rounds=3,
    ),
    Operation(
        "write-array",
        "zarr: write {chunks} chunks of 16 KiB",
        ARRAYS,
        lambda scale, turn: None,
        blocking=_write_array,
        unit="chunk",
        amount=lambda scale: scale.chunks,
        calls=lambda scale: 1,
        effect=Effect(f"{WRITTEN}/c", contents.written_chunks),
        writes_much=True,
    ),
    Operation(
        "read-slices",
        "zarr: {slices} random slices of shards",
        ARRAYS,
        lambda scale, turn: [
            contents.sharded(scale)[part].tobytes() for part in contents.slices(scale, turn)
        ],
        blocking=_read_slices,
        unit="slice",
        amount=lambda scale: scale.slices,
        calls=lambda scale: 1,
    ),
    Operation(
        "open-group",
        "zarr: open a group of {arrays} arrays",
        ARRAYS,
        lambda scale, turn: contents.array_names(scale),
        blocking=_open_group,
        unit="array",
        amount=lambda scale: scale.arrays,
        calls=lambda scale: 1,
    ),
    Operation(
        "open-xarray",
        "xarray: open_zarr of 8 variables",
        ARRAYS,
        lambda scale, turn: _summary(dataset()),
        blocking=_open_dataset,
        calls=lambda scale: 3,
    ),
)
