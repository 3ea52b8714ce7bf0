"""zarr's own tests of stores, on every backend: single rules and random sequences of operations.

`test_nothing_left_out` and `conftest` check that none is overridden or skipped. For services that
do not support every key of a random sequence, keys are renamed: see `renamed_keys`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from servers import AzureEndpoint, GCSEndpoint, S3Endpoint
from servers.roots import new_root
from zarr.abc.store import Store
from zarr.core.buffer import cpu
from zarr.testing.stateful import ZarrHierarchyStateMachine, ZarrStoreStateMachine
from zarr.testing.store import StoreTests

from fsspec_store.zarr import ZarrStore
from zarr_flavour.renamed_keys import WithFoldersApart, WithoutDotsAtTheEnd, WithoutEmptied

_places = count()

MakeMachine = Callable[[], RuleBasedStateMachine]


class OwnRules(StoreTests[ZarrStore, cpu.Buffer]):
    """The class of a service supplies the root of a store, and access to it without the store."""

    store_cls = ZarrStore
    buffer_cls = cpu.Buffer

    def put(self, path: str, data: bytes) -> None:
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        raise NotImplementedError

    async def set(self, store: ZarrStore, key: str, value: Any) -> None:
        self.put(f"{store.path}/{key}", value.to_bytes())

    async def get(self, store: ZarrStore, key: str) -> Any:
        return self.buffer_cls.from_bytes(self.read(f"{store.path}/{key}"))

    #: Sequences without the option ``--sequences``, and actions in each.
    sequences, actions = 3, 15

    #: The store of a sequence on keys, and of one on groups and arrays: a wrapper where the service
    #: does not support all of its keys.
    store_for_keys: Callable[[ZarrStore], Store] = staticmethod(lambda store: store)
    store_for_groups: Callable[[ZarrStore], Store] = staticmethod(lambda store: store)

    @pytest.fixture
    def run_machine(self, sequences: int | None) -> Callable[[MakeMachine], None]:
        limits = settings(
            max_examples=sequences or self.sequences, stateful_step_count=self.actions
        )
        return lambda make: run_state_machine_as_test(make, settings=limits)

    def test_any_sequence_of_actions_on_keys(
        self, store_kwargs: dict[str, Any], run_machine: Callable[[MakeMachine], None]
    ) -> None:
        with ZarrStore(**store_kwargs) as store:
            run_machine(lambda: ZarrStoreStateMachine(self.store_for_keys(store)))

    @pytest.mark.filterwarnings("ignore")  # zarr's own, of data types that may change.
    def test_any_sequence_of_actions_on_groups_and_arrays(
        self, store_kwargs: dict[str, Any], run_machine: Callable[[MakeMachine], None]
    ) -> None:
        with ZarrStore(**store_kwargs) as store:
            run_machine(lambda: ZarrHierarchyStateMachine(self.store_for_groups(store)))

    def test_store_repr(self, store: ZarrStore) -> None:
        # Nothing was written yet, so that a local store has no folder.
        assert repr(store).removesuffix(" (no such folder)") == f"ZarrStore({store.url!r})"
        assert str(store) == store.url

    def test_store_supports_writes(self, store: ZarrStore) -> None:
        assert store.supports_writes

    # Abstract in zarr 3.0 only. Later releases have a test, which is not overridden.
    if getattr(StoreTests.test_store_supports_partial_writes, "__isabstractmethod__", False):

        def test_store_supports_partial_writes(self, store: ZarrStore) -> None:
            assert not store.supports_partial_writes

    def test_store_supports_listing(self, store: ZarrStore) -> None:
        assert store.supports_listing


class TestMemory(OwnRules):
    sequences, actions = 5, 20

    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        return {"fs": fsspec.filesystem("memory"), "path": f"/own-rules-{next(_places)}"}

    def put(self, path: str, data: bytes) -> None:
        fsspec.filesystem("memory").pipe_file(path, data)

    def read(self, path: str) -> bytes:
        found: bytes = fsspec.filesystem("memory").cat_file(path)
        return found


class TestLocal(OwnRules):
    sequences, actions = 5, 20
    store_for_keys = WithFoldersApart  # A name is a file or a folder.

    @pytest.fixture
    def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"fs": fsspec.filesystem("file"), "path": f"{tmp_path}/root"}

    def put(self, path: str, data: bytes) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()


class OnS3(OwnRules):
    @pytest.fixture
    def store_kwargs(self, endpoint: S3Endpoint) -> dict[str, Any]:
        self.endpoint = endpoint
        fs = fsspec.filesystem("s3", skip_instance_cache=True, **endpoint.storage_options())
        return {"fs": fs, "path": new_root(endpoint)}

    def put(self, path: str, data: bytes) -> None:
        bucket, _, key = path.partition("/")
        # After an upload the connections of old releases of botocore are out of step.
        with closing(self.endpoint.client()) as client:
            client.put_object(Bucket=bucket, Key=key, Body=data)

    def read(self, path: str) -> bytes:
        bucket, _, key = path.partition("/")
        found: bytes = (
            self.endpoint.shared_client().get_object(Bucket=bucket, Key=key)["Body"].read()
        )
        return found


class TestSeaweedFS(OnS3):
    store_for_groups = WithoutEmptied  # Its folders are removed minutes later.

    @pytest.fixture
    def endpoint(self, seaweedfs_endpoint: S3Endpoint) -> S3Endpoint:
        return seaweedfs_endpoint


class TestMinIO(OnS3):
    store_for_keys = WithFoldersApart  # It lists a key and not those below it.

    @pytest.fixture
    def endpoint(self, minio_endpoint: S3Endpoint) -> S3Endpoint:
        return minio_endpoint


class TestFakeGCS(OwnRules):
    @pytest.fixture
    def store_kwargs(self, fake_gcs_endpoint: GCSEndpoint) -> dict[str, Any]:
        self.endpoint = fake_gcs_endpoint
        options = fake_gcs_endpoint.storage_options()
        fs = fsspec.filesystem("gs", skip_instance_cache=True, **options)
        return {"fs": fs, "path": f"{fake_gcs_endpoint.make_bucket()}/root"}

    def put(self, path: str, data: bytes) -> None:
        bucket, _, name = path.partition("/")
        with closing(self.endpoint.client()) as client:
            client.bucket(bucket).blob(name).upload_from_string(data)

    def read(self, path: str) -> bytes:
        bucket, _, name = path.partition("/")
        with closing(self.endpoint.client()) as client:
            found: bytes = client.bucket(bucket).blob(name).download_as_bytes()
            return found


class TestAzurite(OwnRules):
    store_for_keys = store_for_groups = (
        WithoutDotsAtTheEnd  # It would drop a dot at the end of a segment.
    )

    @pytest.fixture
    def store_kwargs(self, azurite_endpoint: AzureEndpoint) -> dict[str, Any]:
        self.endpoint = azurite_endpoint
        options = azurite_endpoint.storage_options()
        fs = fsspec.filesystem("abfs", skip_instance_cache=True, **options)
        return {"fs": fs, "path": f"{azurite_endpoint.make_container()}/root"}

    def put(self, path: str, data: bytes) -> None:
        container, _, name = path.partition("/")
        with (
            closing(self.endpoint.client()) as client,
            client.get_blob_client(container, name) as blob,
        ):
            blob.upload_blob(data, overwrite=True)

    def read(self, path: str) -> bytes:
        container, _, name = path.partition("/")
        with (
            closing(self.endpoint.client()) as client,
            client.get_blob_client(container, name) as blob,
        ):
            found: bytes = blob.download_blob().readall()
            return found
