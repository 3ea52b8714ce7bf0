"""The contract on a blocking filesystem no backend knows: every call of it, in a thread."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from conformance import Limits, StoreConformance
from fsspec.implementations.memory import MemoryFileSystem

from fsspec_store import FsspecStore


class UnknownFileSystem(MemoryFileSystem):
    """An unknown class; what it does is what fsspec's own in-memory filesystem does."""


class TestGeneric(StoreConformance):
    limits = Limits(
        key_beside_children="fsspec's in-memory filesystem knows files and folders",
        atomic_create="fsspec promises no atomic create",
        compare_and_swap="fsspec knows no versions",
    )

    @pytest.fixture
    def make_store(self) -> Any:
        root = f"/{uuid.uuid4()}"

        def make(below: str = "", **options: Any) -> FsspecStore:
            options.setdefault("allow_racy_create", True)
            return FsspecStore(UnknownFileSystem(), f"{root}/{below}", **options)

        return make
