"""The candidates: how each opens a store at a place, by the options that its users set.

Does not know which operations are run, nor how they are measured. Libraries are imported when a
candidate that needs them is opened.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.places import REGION, AzureEndpoint, GCSEndpoint, S3Endpoint
from benchmarks.subjects import ObstoreSubject, Subject, ZarrSubject
from benchmarks.transfer_clients import CRTSubject, S3dlioSubject

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ClientConfig

    from benchmarks.operation import Operation
    from benchmarks.places import Place

THIS = "fsspec-store"
BY_LIBRARY = "fsspec-store-library"
ZARR_FSSPEC = "zarr-fsspec"
ZARR_OBJECT = "zarr-object"
OBSTORE = "obstore"
CRT = "awscrt"
S3DLIO = "s3dlio"


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Attributes
    ----------
    title
        What tables and plots call it.
    open
        Opens its store at a place.
    why_not
        Why it cannot take part at a place; None when it can.
    is_zarr_store
        Whether zarr takes its store.
    only_large
        Whether it takes part in reads and writes of large values alone.
    """

    title: str
    open: Callable[[Place], Subject]
    why_not: Callable[[Place], str | None]
    is_zarr_store: bool = True
    only_large: bool = False

    def takes_part(self, operation: Operation) -> bool:
        """Whether an operation is one that it is compared at."""
        return operation.is_large if self.only_large else True


def _this(place: Place, **options: Any) -> Subject:
    from fsspec_store.zarr import ZarrStore

    storage_options = place.endpoint.storage_options()
    return ZarrSubject(ZarrStore.from_url(place.url, storage_options, **options))


def _zarr_fsspec(place: Place) -> Subject:
    from zarr.storage import FsspecStore

    options = {
        **place.endpoint.storage_options(),
        "asynchronous": True,
        # A filesystem's sessions belong to one event loop, and a process of a run has two.
        "skip_instance_cache": True,
        # Cached listings are not measured.
        "use_listings_cache": False,
    }
    if isinstance(place.endpoint, GCSEndpoint):
        from gcsfs.core import GCSFileSystem

        path = f"{place.bucket}/{place.root}"
        return ZarrSubject(FsspecStore(GCSFileSystem(**options), path=path))
    return ZarrSubject(FsspecStore.from_url(place.url, options))


def _obstore(place: Place) -> Any:
    from obstore.store import AzureStore, S3Store

    endpoint = place.endpoint
    client: ClientConfig = {"allow_http": True}
    if place.ca is not None:
        client["root_certificate"] = place.ca.read_bytes()
    if isinstance(endpoint, AzureEndpoint):
        return AzureStore(
            container_name=place.bucket,
            prefix=place.root,
            endpoint=endpoint.url,
            account_name=endpoint.account,
            account_key=endpoint.key,
            client_options=client,
        )
    assert isinstance(endpoint, S3Endpoint)
    return S3Store(
        place.bucket,
        prefix=place.root,
        endpoint=endpoint.url,
        access_key_id=endpoint.key,
        secret_access_key=endpoint.secret,
        region=REGION,
        virtual_hosted_style_request=False,
        client_options=client,
    )


def _zarr_object(place: Place) -> Subject:
    from zarr.storage import ObjectStore

    return ZarrSubject(ObjectStore(_obstore(place)))


def _crt(place: Place) -> Subject:
    assert isinstance(place.endpoint, S3Endpoint)
    return CRTSubject(place, place.endpoint)


def _s3dlio(place: Place) -> Subject:
    assert isinstance(place.endpoint, S3Endpoint)
    return S3dlioSubject(place, place.endpoint)


def _always(place: Place) -> None:
    return None


def _has_no_transports(place: Place) -> str | None:
    from fsspec_store.zarr import ZarrStore

    if "transport" not in inspect.signature(ZarrStore).parameters:
        return "this release has no such option"
    return None


def _no_xml(place: Place) -> str | None:
    if isinstance(place.endpoint, GCSEndpoint):
        return "fake-gcs-server lacks the XML API by which obstore writes and lists"
    return None


def _s3_library(name: str) -> Callable[[Place], str | None]:
    def why_not(place: Place) -> str | None:
        if not isinstance(place.endpoint, S3Endpoint):
            return "it is compared on S3 alone"
        return None if find_spec(name) else "it is not installed"

    return why_not


CANDIDATES = {
    THIS: Candidate("fsspec-store", _this, _always),
    BY_LIBRARY: Candidate(
        "fsspec-store, transport=library",
        lambda place: _this(place, transport="library"),
        _has_no_transports,
    ),
    ZARR_FSSPEC: Candidate("zarr FsspecStore", _zarr_fsspec, _always),
    ZARR_OBJECT: Candidate("zarr ObjectStore", _zarr_object, _no_xml),
    OBSTORE: Candidate(
        "obstore", lambda place: ObstoreSubject(_obstore(place)), _no_xml, is_zarr_store=False
    ),
    CRT: Candidate("awscrt", _crt, _s3_library("awscrt"), is_zarr_store=False, only_large=True),
    S3DLIO: Candidate(
        "s3dlio", _s3dlio, _s3_library("s3dlio"), is_zarr_store=False, only_large=True
    ),
}
