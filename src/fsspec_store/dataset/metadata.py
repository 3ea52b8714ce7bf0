"""The metadata of groups and arrays of zarr v2 and v3, parsed without zarr. No I/O."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .codecs import Codecs, v2_codecs, v3_codecs
from .data_types import v2_item_size, v3_item_size
from .errors import DatasetError, InvalidMetadataError, UnsupportedMetadataError
from .fields import field, load, name_and_configuration, numbers
from .grid import ChunkGrid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .fields import Document

__all__ = [
    "ArrayMetadata",
    "GroupMetadata",
    "parse_document",
    "parse_metadata",
    "parse_v2_consolidated",
]


@dataclass(frozen=True)
class GroupMetadata:  # numpydoc ignore=PR02
    """The metadata of a group.

    Parameters
    ----------
    zarr_format : {2, 3}
        Version of the format.
    attributes : mapping
        The user's attributes. Empty for zarr v2, where they have a key of their own.
    consolidated : mapping or None
        The documents of all nodes below the group by their path, where zarr v3 has them inline.
    """

    zarr_format: Literal[2, 3]
    attributes: Document
    consolidated: Mapping[str, Document] | None = None


@dataclass(frozen=True)
class ArrayMetadata:  # numpydoc ignore=PR02
    """The metadata of an array, as far as it determines its keys and their sizes.

    Parameters
    ----------
    zarr_format : {2, 3}
        Version of the format.
    grid : ChunkGrid
        Shape, shape of chunks, and keys of the chunks.
    data_type : str
        Name of the data type; the JSON text of a structured one of zarr v2.
    item_size : int or None
        Size of an item in bytes; ``None`` if it is variable or unknown.
    codecs : Codecs
        Codecs of the chunk of one key, and their sizes.
    fill_value : object
        As in the metadata.
    attributes : mapping
        The user's attributes. Empty for zarr v2, where they have a key of their own.
    """

    zarr_format: Literal[2, 3]
    grid: ChunkGrid
    data_type: str
    item_size: int | None
    codecs: Codecs
    fill_value: Any
    attributes: Document

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.grid.shape


def parse_metadata(key: str, content: bytes) -> ArrayMetadata | GroupMetadata:
    """Parse the value of a ``zarr.json``, ``.zarray`` or ``.zgroup``.

    Parameters
    ----------
    key : str
        Its last segment determines the kind of document.
    content : bytes
        The value.

    Returns
    -------
    ArrayMetadata or GroupMetadata
        The metadata.

    Raises
    ------
    InvalidMetadataError
        When the document is not what the format requires.
    UnsupportedMetadataError
        When it has a chunk grid, key encoding or storage transformer that is not supported.
    """
    try:
        return parse_document(key.rpartition("/")[2], load(content))
    except DatasetError as error:
        message = f"cannot read {key!r}: {error.reason}"
        raise type(error)(message, key=key, reason=error.reason) from error


def parse_document(name: str, document: Document) -> ArrayMetadata | GroupMetadata:
    """Parse the document of a key with this last segment."""
    if name not in _PARSERS:
        raise UnsupportedMetadataError(f"no metadata of a group or array: {name!r}")
    try:
        return _PARSERS[name](document)
    except RecursionError as error:
        raise InvalidMetadataError("codecs or fields are nested too deeply") from error


def _v2_group(document: Document) -> GroupMetadata:
    _require_format(document, 2)
    return GroupMetadata(2, {})


def _v2_array(document: Document) -> ArrayMetadata:
    _require_format(document, 2)
    separator = document.get("dimension_separator") or "."
    grid = _grid(document, numbers(document, "chunks"), "v2", separator)
    dtype = field(document, "dtype")
    item_size = v2_item_size(dtype)
    size = None if item_size is None else math.prod(grid.chunk_shape) * item_size
    codecs = v2_codecs(document.get("filters"), field(document, "compressor"), size)
    name = dtype if isinstance(dtype, str) else json.dumps(dtype)
    return ArrayMetadata(2, grid, name, item_size, codecs, document.get("fill_value"), {})


def _v3_node(document: Document) -> ArrayMetadata | GroupMetadata:
    _require_format(document, 3)
    match field(document, "node_type"):
        case "group":
            return GroupMetadata(3, _attributes(document), _consolidated(document))
        case "array":
            return _v3_array(document)
        case other:
            raise InvalidMetadataError(f"node_type must be 'array' or 'group', got {other!r}")


def _v3_array(document: Document) -> ArrayMetadata:
    if document.get("storage_transformers"):
        raise UnsupportedMetadataError("storage transformers are not supported")
    name, options = name_and_configuration(field(document, "chunk_grid"), "chunk_grid")
    if name != "regular":
        raise UnsupportedMetadataError(f"chunk grid {name!r} is not supported")
    encoding, encoding_options = name_and_configuration(
        field(document, "chunk_key_encoding"), "chunk_key_encoding"
    )
    if encoding not in ("default", "v2"):
        raise UnsupportedMetadataError(f"chunk key encoding {encoding!r} is not supported")
    separator = encoding_options.get("separator", "/" if encoding == "default" else ".")
    grid = _grid(document, numbers(options, "chunk_shape"), encoding, separator)
    data_type = field(document, "data_type")
    item_size = v3_item_size(data_type)
    return ArrayMetadata(
        3,
        grid,
        name_and_configuration(data_type, "data_type")[0],
        item_size,
        v3_codecs(field(document, "codecs"), grid.chunk_shape, item_size),
        field(document, "fill_value"),
        _attributes(document),
    )


def _grid(document: Document, chunks: tuple[int, ...], encoding: str, separator: Any) -> ChunkGrid:
    shape = numbers(document, "shape")
    if len(chunks) != len(shape):
        raise InvalidMetadataError(f"chunks of shape {chunks} for an array of shape {shape}")
    if any(size and not chunk for size, chunk in zip(shape, chunks, strict=True)):
        raise InvalidMetadataError(f"chunks of shape {chunks} contain nothing")
    if separator not in ("/", "."):
        raise InvalidMetadataError(f"separator must be '/' or '.', got {separator!r}")
    return ChunkGrid(shape, chunks, encoding, separator)


def _attributes(document: Document) -> Document:
    attributes = document.get("attributes", {})
    if not isinstance(attributes, dict):
        raise InvalidMetadataError(f"'attributes' must be an object, got {attributes!r}")
    return attributes


def _consolidated(document: Document) -> Mapping[str, Document] | None:
    # zarr-python writes null, or an object that is empty, in the entry of a group.
    consolidated = document.get("consolidated_metadata")
    if not consolidated:
        return None
    kind = consolidated.get("kind") if isinstance(consolidated, dict) else None
    if kind != "inline":
        raise UnsupportedMetadataError(f"consolidated metadata of kind {kind!r}")
    return _documents(consolidated)


def _documents(consolidated: Document) -> Mapping[str, Document]:
    documents = field(consolidated, "metadata")
    if not isinstance(documents, dict) or any(
        type(node) is not dict for node in documents.values()
    ):
        raise InvalidMetadataError("'metadata' of consolidated metadata must have objects only")
    return documents


def parse_v2_consolidated(document: Document) -> Mapping[str, Document]:
    """The documents of a ``.zmetadata`` by their keys, relative to its group."""
    version = field(document, "zarr_consolidated_format")
    if version != 1:
        raise UnsupportedMetadataError(f"zarr_consolidated_format {version!r}")
    return _documents(document)


def _require_format(document: Document, version: int) -> None:
    found = field(document, "zarr_format")
    if found != version or type(found) is not int:
        raise InvalidMetadataError(f"zarr_format must be {version}, got {found!r}")


_PARSERS: Mapping[str, Callable[[Document], ArrayMetadata | GroupMetadata]] = {
    ".zgroup": _v2_group,
    ".zarray": _v2_array,
    "zarr.json": _v3_node,
}
