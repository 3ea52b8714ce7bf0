"""Where the page about moving runs: a MinIO, found by the variables that name Amazon's service.

zarr's own stores and obstore find it by the same variables.
"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from servers import S3Endpoint
from servers.s3_endpoint import REGION

from fsspec_store.zarr import open_store

from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    minio: S3Endpoint = request.getfixturevalue("minio_endpoint")
    bucket = minio.make_bucket()
    air = np.arange(280, 304, dtype="f4").reshape(4, 6)
    with open_store(f"s3://{bucket}/era5.zarr", minio.storage_options()) as store:
        dataset = xr.Dataset({"air": (("time", "place"), air)})
        encoding = {"air": {"chunks": (4, 3), "compressors": None}}
        dataset.to_zarr(store, zarr_format=2, encoding=encoding)
    return Place(
        environment={
            "AWS_ACCESS_KEY_ID": minio.key,
            "AWS_SECRET_ACCESS_KEY": minio.secret,
            "AWS_ENDPOINT_URL": minio.url,
            "AWS_ALLOW_HTTP": "true",
        },
        words={"weather": bucket, "eu-central-1": REGION},
    )
