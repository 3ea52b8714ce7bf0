"""A store whose listing is computed: data sets of any number of chunks without their values."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from fsspec_store import Buffer, Store
from fsspec_store.dataset import ArrayMetadata, parse_metadata
from fsspec_store.errors import UnsupportedOperationError


class GeneratedStore(Store):
    """A group of arrays without compression, all of whose chunks are listed.

    Parameters
    ----------
    arrays : mapping
        Fields of the metadata of each array, by its name.
    missing_every : int, optional
        Number of chunks of which one is missing. None is missing by default.
    """

    def __init__(self, arrays: Mapping[str, Mapping[str, Any]], missing_every: int = 0) -> None:
        super().__init__(read_only=True)
        group = {"zarr_format": 3, "node_type": "group"}
        documents = {"": group} | {f"{name}/": fields for name, fields in arrays.items()}
        self.documents = {
            f"{path}zarr.json": json.dumps(fields).encode() for path, fields in documents.items()
        }
        self._missing_every = missing_every

    def __eq__(self, other: object) -> bool:
        return self is other

    def _entries(self) -> Iterator[tuple[str, int]]:
        for key, content in sorted(self.documents.items()):
            metadata = parse_metadata(key, content)
            if isinstance(metadata, ArrayMetadata):
                assert metadata.codecs.size is not None
                path = key.removesuffix("zarr.json")
                for number, name in enumerate(metadata.grid.all_keys(), 1):
                    if not self._missing_every or number % self._missing_every:
                        yield path + name, metadata.codecs.size
            yield key, len(content)

    async def list_sizes(
        self, prefix: str = "", *, fan_out: int = 1
    ) -> AsyncGenerator[tuple[str, int | None], None]:
        for key, size in self._entries():
            if key.startswith(prefix):
                yield key, size

    async def list_prefix(self, prefix: str, *, fan_out: int = 1) -> AsyncGenerator[str, None]:
        async for key, _ in self.list_sizes(prefix):
            yield key

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Buffer | None:
        assert byte_range is None
        content = self.documents.get(key)
        return None if content is None else Buffer.from_bytes(content)

    async def exists(self, key: str) -> bool:
        return key in self.documents

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        raise UnsupportedOperationError("only keys are listed")
        yield

    async def set(self, key: str, value: Any, **options: Any) -> None:
        raise UnsupportedOperationError("keys are generated")

    async def delete(self, key: str) -> None:
        raise UnsupportedOperationError("keys are generated")

    @property
    def supports_writes(self) -> bool:
        return False

    @property
    def supports_deletes(self) -> bool:
        return False

    @property
    def supports_listing(self) -> bool:
        return True


def array(shape: tuple[int, ...], **fields: Any) -> dict[str, Any]:
    """Metadata of an array with one chunk for each item."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1] * len(shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        **fields,
    }
