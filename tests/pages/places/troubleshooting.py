"""Where the page of error messages runs: a service that fails where the page says so.

A MinIO behind a proxy that breaks requests for some prefixes, and nginx as several web servers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import zarr
from servers import HTTPEndpoint, S3Endpoint
from servers.fault_proxy import Answer, Fault, fault_proxy
from servers.ports import port_block

from fsspec_store.zarr import open_store

from .place import Place

_XML = {"Content-Type": "application/xml"}
_FORBIDDEN = Answer(
    403, _XML, b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
)
_SLOW_DOWN = Answer(
    503, _XML, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
)
_AT_LAST = Answer(200, {"ETag": '"0"'}, b"{}")
#: More than is read in vain.
_LARGE = 80_000_000


def prepare(request: pytest.FixtureRequest) -> Place:
    minio: S3Endpoint = request.getfixturevalue("minio_endpoint")
    nginx: HTTPEndpoint = request.getfixturevalue("nginx_endpoint")
    home: Path = request.getfixturevalue("tmp_path") / "home"
    bucket = minio.make_bucket()
    with open_store(f"s3://{bucket}/era5.zarr", minio.storage_options()) as store:
        group = zarr.create_group(store)
        group.create_array("air", data=np.zeros((4, 6)), dimension_names=("time", "place"))
    served = uuid4().hex
    (nginx.folder / served / "era5.zarr").mkdir(parents=True)
    (nginx.folder / served / "era5.zarr" / "index.html").write_text("<h1>ERA5</h1>")
    with (nginx.folder / served / "large.bin").open("wb") as large:
        large.truncate(_LARGE)
    ended = ExitStack()
    request.addfinalizer(ended.close)
    proxy = ended.enter_context(fault_proxy(minio.url))
    proxy.plan = Faults()
    nobody = ended.enter_context(port_block())
    return Place(
        environment={
            "AWS_ACCESS_KEY_ID": minio.key,
            "AWS_SECRET_ACCESS_KEY": minio.secret,
            "AWS_ENDPOINT_URL": proxy.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        words={
            "weather/": f"{bucket}/",
            "'weather'": f"'{bucket}'",
            "404: weather": f"404: {bucket}",
            "s3://weather": f"s3://{bucket}",
            "https://data.example.org": f"{nginx.url}/{served}",
            "https://private.example.org": f"{nginx.protected_url}/{served}",
            "https://old.example.org": f"{nginx.rangeless_url}/{served}",
            "/home/ada": str(home),
            "9000": str(nobody),
        },
    )


class Faults:
    """What the proxy does to requests, by the folder that they are for."""

    def __init__(self) -> None:
        self._busy = itertools.chain([_SLOW_DOWN] * 2, itertools.repeat(_AT_LAST))

    def __call__(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> Fault | Answer | None:
        if "/sparse.zarr/" in target:
            return _FORBIDDEN
        if "/slow.zarr/" in target:
            return Fault.DELAYED
        return next(self._busy) if "/busy.zarr/" in target else None
