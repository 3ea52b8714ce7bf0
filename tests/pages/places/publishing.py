"""Where the pages about publishing run: a local data set, and a MinIO with an empty bucket.

The service is found by the variables that name Amazon's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from servers import S3Endpoint

from fsspec_store.zarr import open_store

from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    minio: S3Endpoint = request.getfixturevalue("minio_endpoint")
    work: Path = request.getfixturevalue("tmp_path") / "home" / "work"
    write_climate(work / "climate.zarr")
    return Place(environment=environment(minio), words={"weather": minio.make_bucket()})


def write_climate(path: Path) -> None:
    """Write a group of one array of eight chunks: 10 keys."""
    group = zarr.create_group(open_store(path))
    shape, chunks = (24, 90, 180), (12, 45, 90)
    air = group.create_array("air", shape=shape, chunks=chunks, dtype="f4", compressors=None)
    air[:] = np.arange(air.size, dtype="f4").reshape(shape)


def environment(minio: S3Endpoint) -> dict[str, str]:
    """The variables by which AWS's tools and libraries find a service."""
    return {
        "AWS_ACCESS_KEY_ID": minio.key,
        "AWS_SECRET_ACCESS_KEY": minio.secret,
        "AWS_ENDPOINT_URL": minio.url,
    }
