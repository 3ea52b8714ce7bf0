"""The data set that the pages read: ``era5.zarr``, a group of one small array.

Knows zarr and the store, and no server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr

from fsspec_store.zarr import open_store

#: Hours and places.
SHAPE = (24, 100)
CHUNKS = (12, 50)


def write_era5(
    url: str, storage_options: Mapping[str, Any] | None = None, *, consolidated: bool = False
) -> None:
    """Write the data set where a URL leads."""
    with open_store(url, storage_options) as store:
        group = zarr.open_group(store, mode="w", zarr_format=2 if consolidated else 3)
        temperature = group.create_array(
            "temperature", shape=SHAPE, chunks=CHUNKS, dtype="f4", compressors=None
        )
        hours, places = np.indices(SHAPE)
        temperature[:] = 280 + hours / 4 + places / 8
        if consolidated:
            zarr.consolidate_metadata(store, zarr_format=2)
