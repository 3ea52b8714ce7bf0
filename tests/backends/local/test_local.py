from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conformance import Limits, StoreConformance

from fsspec_store import FsspecStore

FILE_OR_FOLDER = "a name is a file or a folder, not both"


class TestLocal(StoreConformance):
    limits = Limits(
        key_beside_children=FILE_OR_FOLDER,
        long_names="a file's name has at most 255 bytes",
    )

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Any:
        def make(below: str = "", **options: Any) -> FsspecStore:
            return FsspecStore.from_url(f"file://{tmp_path}/root/{below}".rstrip("/"), **options)

        return make
