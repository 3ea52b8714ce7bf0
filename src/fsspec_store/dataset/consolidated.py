"""Whether consolidated metadata is what the documents of the nodes are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .errors import DatasetError
from .fields import load
from .metadata import ArrayMetadata, GroupMetadata, parse_document, parse_v2_consolidated
from .nodes import join, read_many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._store.contract import Store
    from .fields import Document
    from .scan import Scan

__all__ = ["compare_consolidated"]

#: Written out or left out, these mean the same.
_DEFAULTS: tuple[Any, ...] = ({}, [], None)

#: Fields with codecs.
_CODECS = ("codecs", "filters", "compressor")


async def compare_consolidated(scan: Scan, store: Store) -> None:
    """Find differences between the consolidated metadata of each group and the nodes below it."""
    values = await read_many(store, scan.v2_documents)
    copies: dict[str, Mapping[str, Document]] = {}
    for key in list(values):
        path, _, name = key.rpartition("/")
        try:
            document = load(values[key])
            if name == ".zmetadata":
                del values[key]
                copies[path] = parse_v2_consolidated(document)
        except DatasetError as error:
            scan.findings.add("invalid_metadata", scan.relative(path), key, error.reason)
    for node in scan.nodes:
        values.update((join(node.path, name), value) for name, value in node.documents.items())
        if isinstance(node.metadata, GroupMetadata) and node.metadata.consolidated is not None:
            copies[node.path] = {
                join(name, "zarr.json"): document
                for name, document in node.metadata.consolidated.items()
            }
    for path, copy in copies.items():
        _compare(scan, path, copy, values)


def _compare(
    scan: Scan, path: str, copy: Mapping[str, Document], values: Mapping[str, bytes]
) -> None:
    below = join(path, "")
    # The copy of zarr v3 is in the document of its own group.
    own = {f"{below}zarr.json"}
    listed = {key for key in values if key.startswith(below) and key not in own}
    for key in sorted(listed.union(below + name for name in copy)):
        name = key[len(below) :]
        # Attributes of zarr v2 that are empty may have no key.
        is_optional = name.rpartition("/")[2] == ".zattrs"
        if key not in values and not is_optional:
            reason = "is only in the consolidated metadata"
        elif name not in copy and not is_optional:
            reason = "is not in the consolidated metadata"
        elif _differ(key, values.get(key, b"{}"), copy.get(name, {})):
            reason = "differs from the consolidated metadata"
        else:
            continue
        scan.findings.add("consolidated_metadata", scan.relative(path), key, reason)


def _differ(key: str, value: bytes, copy: Document) -> bool:
    try:
        text, codecs = _comparable(key, load(value))
        text_of_copy, codecs_of_copy = _comparable(key, copy)
    except (DatasetError, RecursionError):
        # One of them cannot be read.
        return True
    return text != text_of_copy or not _agree(codecs, codecs_of_copy)


def _comparable(key: str, document: Document) -> tuple[str, list[Any]]:
    """The document as text that is the same for documents with the same meaning; its codecs."""
    rest = {name: value for name, value in document.items() if name != "consolidated_metadata"}
    name = key.rpartition("/")[2]
    metadata = None if name == ".zattrs" else parse_document(name, document)
    codecs: list[Any] = []
    if isinstance(metadata, ArrayMetadata):
        rest["chunk_key_encoding"] = rest["dimension_separator"] = None
        rest["grid"] = [metadata.grid.encoding, metadata.grid.separator]
        codecs = [_without_defaults(rest.pop(name, None)) for name in _CODECS]
    return json.dumps(_without_defaults(rest), sort_keys=True), codecs


def _agree(left: Any, right: Any) -> bool:
    """Whether all fields that both have are the same.

    zarr adds defaults to the configuration of codecs when it copies a document.
    """
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return all(map(_agree, left, right))
    if isinstance(left, dict) or isinstance(right, dict):
        # A codec without configuration is its name alone.
        left, right = ({"name": side} if isinstance(side, str) else side for side in (left, right))
        both = isinstance(left, dict) and isinstance(right, dict)
        return both and all(_agree(left[name], right[name]) for name in left.keys() & right.keys())
    return bool(left == right)


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        items = {name: _without_defaults(item) for name, item in value.items()}
        kept = {name: item for name, item in items.items() if item not in _DEFAULTS}
        # An extension without configuration may be its name alone.
        return kept["name"] if kept.keys() == {"name"} else kept
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    # 0 and 0.0 are the same fill value.
    return int(value) if isinstance(value, float) and value.is_integer() else value
