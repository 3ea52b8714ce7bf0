"""Services with values that tests replace without a store, and stores through proxies."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from servers import AzureEndpoint, GCSEndpoint, HTTPEndpoint, S3Endpoint
from servers.fault_proxy import Seen

from fsspec_store import FsspecStore

_places = itertools.count()


@dataclass(frozen=True)
class Place:
    """An empty prefix of a service.

    Parameters
    ----------
    server : str
        URL of the server.
    open : callable
        ``open(url, **options)`` returns a store at the prefix, on the server or through a proxy at
        ``url``.
    put : callable
        ``put(key, data)`` writes a value without a store and an event loop.
    pin : callable
        Returns whether a request is for a part of one version of a value.
    """

    server: str
    open: Callable[..., FsspecStore]
    put: Callable[[str, bytes], None]
    pin: Callable[[Seen], bool]


def of_one_etag(seen: Seen) -> bool:
    names = ("range", "x-ms-range")
    return any(name in seen.headers for name in names) and "if-match" in seen.headers


def s3(endpoint: S3Endpoint, **given: Any) -> Place:
    bucket = endpoint.make_bucket()

    def put(key: str, data: bytes) -> None:
        with closing(endpoint.client()) as client:
            client.put_object(Bucket=bucket, Key=key, Body=data)

    def open_(url: str, **more: Any) -> FsspecStore:
        options = {**endpoint.storage_options(), "endpoint_url": url}
        return FsspecStore.from_url(f"s3://{bucket}", options, **{**given, **more})

    return Place(endpoint.url, open_, put, of_one_etag)


def google(endpoint: GCSEndpoint, **given: Any) -> Place:
    bucket = endpoint.make_bucket()

    def put(key: str, data: bytes) -> None:
        with closing(endpoint.client()) as client:
            client.bucket(bucket).blob(key).upload_from_string(data)

    def open_(url: str, **more: Any) -> FsspecStore:
        options = {**endpoint.storage_options(), "endpoint_url": url}
        return FsspecStore.from_url(f"gs://{bucket}", options, **{**given, **more})

    def pin(seen: Seen) -> bool:
        return "range" in seen.headers and "generation=" in seen.target

    return Place(endpoint.url, open_, put, pin)


def azure(endpoint: AzureEndpoint) -> Place:
    container = endpoint.make_container()

    def put(key: str, data: bytes) -> None:
        with (
            closing(endpoint.client()) as client,
            client.get_blob_client(container, key) as blob,
        ):
            blob.upload_blob(data, overwrite=True)

    def open_(url: str, **more: Any) -> FsspecStore:
        options = AzureEndpoint(url, endpoint.account, endpoint.key).storage_options()
        return FsspecStore.from_url(f"az://{container}", options, **more)

    return Place(endpoint.url, open_, put, of_one_etag)


def web(endpoint: HTTPEndpoint) -> Place:
    folder = endpoint.folder / f"large-{next(_places)}"
    folder.mkdir()
    # Files of different seconds in the past: newer ones are not read in parts.
    seconds = itertools.count(1_000_000_000)

    def put(key: str, data: bytes) -> None:
        (folder / "new").write_bytes(data)
        os.utime(folder / "new", (now := next(seconds), now))
        os.replace(folder / "new", folder / key)

    def open_(url: str, **more: Any) -> FsspecStore:
        return FsspecStore.from_url(f"{url}/{folder.name}", **more)

    return Place(endpoint.url, open_, put, of_one_etag)


SERVICES: dict[str, tuple[str, Callable[[Any], Place]]] = {
    "s3": ("minio_endpoint", s3),
    "google": ("fake_gcs_endpoint", google),
    "google by aiohttp": ("fake_gcs_endpoint", partial(google, transport="library")),
    "azure": ("azurite_endpoint", azure),
    "web": ("nginx_endpoint", web),
}
