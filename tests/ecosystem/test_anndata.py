"""anndata on this store: annotated matrices, dense and sparse, whole and in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from .places import Place

pytestmark = [
    # zarr says so of every consolidated v3 hierarchy, on any store.
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    # anndata asks pandas for an option that is about to go, and tells what it writes by default.
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated"),
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data will no longer be the default"),
]


@pytest.fixture
def ad() -> Any:
    import anndata

    return anndata


def annotated(ad: Any) -> Any:
    from scipy.sparse import csr_matrix

    counts = np.arange(60, dtype="f4").reshape(12, 5)
    return ad.AnnData(
        counts,
        obs=pd.DataFrame(
            {"kind": pd.Categorical(["b", "t"] * 6), "size": np.arange(12.0)},
            index=[f"cell-{number}" for number in range(12)],
        ),
        var=pd.DataFrame(index=[f"gene-{number}" for number in range(5)]),
        layers={"sparse": csr_matrix(np.where(counts % 3 == 0, counts, 0))},
        obsm={"map": np.ones((12, 2))},
        uns={"made": "here", "by": {"version": 1}},
    )


def check(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found.X, expected.X)
    np.testing.assert_array_equal(
        found.layers["sparse"].toarray(), expected.layers["sparse"].toarray()
    )
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)
    assert list(found.obs["kind"]) == list(expected.obs["kind"])
    assert found.obs["size"].tolist() == expected.obs["size"].tolist()
    assert found.uns["made"] == "here"
    assert found.uns["by"]["version"] == 1


def test_annotated_data_round_trips(place: Place, ad: Any) -> None:
    data = annotated(ad)
    ad.io.write_zarr(place.open(), data)
    check(ad.io.read_zarr(place.open(read_only=True)), data)
    check(ad.io.read_zarr(zarr.open_group(store=place.open(read_only=True), mode="r")), data)


def test_parts_are_read_where_they_lie(place: Place, ad: Any) -> None:
    data = annotated(ad)
    ad.io.write_zarr(place.open(), data)
    root = zarr.open_group(store=place.open(read_only=True), mode="r")
    sparse = ad.io.sparse_dataset(root["layers/sparse"])
    np.testing.assert_array_equal(sparse[3:7].toarray(), data.layers["sparse"][3:7].toarray())
    assert ad.io.read_elem(root["obs"])["size"].tolist() == data.obs["size"].tolist()
    # One element is added beside the others.
    writable = zarr.open_group(store=place.open(), mode="r+", use_consolidated=False)
    ad.io.write_elem(writable["obsm"], "new", np.eye(12, 3))
    again = zarr.open_group(store=place.open(read_only=True), mode="r", use_consolidated=False)
    np.testing.assert_array_equal(ad.io.read_elem(again["obsm/new"]), np.eye(12, 3))


@pytest.mark.filterwarnings("ignore::FutureWarning:anndata")
def test_annotated_data_are_read_as_they_are_needed(place: Place, ad: Any) -> None:
    data = annotated(ad)
    ad.io.write_zarr(place.open(), data)
    zarr.consolidate_metadata(place.open())
    store = place.open(read_only=True)
    lazy = ad.experimental.read_lazy(zarr.open_group(store=store, mode="r"))
    before = store.stats.requests
    part = lazy[lazy.obs["kind"] == "t"]
    np.testing.assert_array_equal(part.X.compute(), data.X[1::2])
    np.testing.assert_array_equal(
        part.layers["sparse"].compute().toarray(), data.layers["sparse"][1::2].toarray()
    )
    assert store.stats.requests > before
    check(lazy.to_memory(), data)
