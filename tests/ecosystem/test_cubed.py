"""cubed on this store: arrays worked on in bounded memory, from store to store."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from .places import Place

DATA = np.arange(600, dtype="i4").reshape(20, 30)


def test_an_array_goes_from_store_to_store(place: Place, tmp_path: Any) -> None:
    import cubed
    import cubed.array_api as xp

    spec = cubed.Spec(work_dir=str(tmp_path), allowed_mem="200MB")
    zarr.create_array(store=place.open(), data=DATA, chunks=(5, 10))
    array = cubed.from_zarr(place.open(read_only=True), spec=spec)
    assert array.chunks == ((5,) * 4, (10,) * 3)
    assert int(xp.sum(array).compute()) == DATA.sum()
    cubed.to_zarr(xp.permute_dims(array + 1, (1, 0)).rechunk((15, 4)), place.open("turned.zarr"))
    turned = zarr.open_array(store=place.open("turned.zarr", read_only=True), mode="r")
    assert turned.chunks == (15, 4)
    np.testing.assert_array_equal(turned[:], DATA.T + 1)
