from __future__ import annotations

import uuid
from typing import Any

import pytest
from conformance import StoreConformance

from fsspec_store import FsspecStore


class TestMemory(StoreConformance):
    @pytest.fixture
    def make_store(self) -> Any:
        root = f"memory://{uuid.uuid4()}"

        def make(below: str = "", **options: Any) -> FsspecStore:
            return FsspecStore.from_url(f"{root}/{below}".rstrip("/"), **options)

        return make
