"""OME-Zarr's writer and readers on this store: images in several resolutions."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import zarr

from .places import Place

pytestmark = [
    # ome-zarr's own, as it is imported.
    pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning"),
]

IMAGE = np.arange(2 * 32 * 48, dtype="u2").reshape(2, 32, 48)


def write(place: Place, zarr_format: Any) -> None:
    from ome_zarr.writer import write_image

    root = zarr.open_group(store=place.open(), mode="w", zarr_format=zarr_format)
    write_image(IMAGE, root, axes="cyx", scale_factors=[2, 4])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_image_of_a_group_on_this_store(place: Place, zarr_format: Any) -> None:
    from ome_zarr_models import open_ome_zarr

    write(place, zarr_format)
    root = zarr.open_group(store=place.open(read_only=True), mode="r")
    image = open_ome_zarr(root)
    assert image.ome_zarr_version == {2: "0.4", 3: "0.5"}[zarr_format]
    attributes = image.attributes if zarr_format == 2 else image.attributes.ome
    levels = [dataset.path for dataset in attributes.multiscales[0].datasets]
    assert [root[level].shape for level in levels] == [(2, 32, 48), (2, 16, 24), (2, 8, 12)]
    np.testing.assert_array_equal(root[levels[0]][:], IMAGE)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="ome-zarr for this Python reads zarr's own stores alone"
)
def test_the_reader_takes_the_store(place: Place) -> None:
    from ome_zarr.io import ZarrLocation
    from ome_zarr.reader import Reader

    write(place, 3)
    location = ZarrLocation(place.open(read_only=True))
    assert location.exists()
    (image,) = Reader(location)()
    assert [level.shape for level in image.data] == [(2, 32, 48), (2, 16, 24), (2, 8, 12)]
    np.testing.assert_array_equal(image.data[0].compute(), IMAGE)
    level = location.root_attrs["multiscales"][0]["datasets"][0]["path"]
    np.testing.assert_array_equal(location.load(level)[1, 4:9].compute(), IMAGE[1, 4:9])
    assert not ZarrLocation(place.open("missing.zarr", read_only=True)).exists()
