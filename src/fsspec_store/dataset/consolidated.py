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


async def compare_consolidated(scan: Scan, store: Store) -> None:
    """Find differences between the consolidated metadata of each group and the nodes below it."""
    documents = {
        join(node.path, name): document
        for node in scan.nodes
        for name, document in node.documents.items()
    }
    copies: dict[str, Mapping[str, Document]] = {}
    for key, content in (await read_many(store, scan.v2_documents)).items():
        path, _, name = key.rpartition("/")
        try:
            document = load(content)
            if name == ".zmetadata":
                copies[path] = parse_v2_consolidated(document)
            else:
                documents[key] = document
        except DatasetError as error:
            scan.findings.add("invalid_metadata", scan.relative(path), key, error.reason)
    for node in scan.nodes:
        if isinstance(node.metadata, GroupMetadata) and node.metadata.consolidated is not None:
            copies[node.path] = {
                join(name, "zarr.json"): document
                for name, document in node.metadata.consolidated.items()
            }
    for path, copy in copies.items():
        _compare(scan, path, copy, documents)


def _compare(
    scan: Scan, path: str, copy: Mapping[str, Document], documents: Mapping[str, Document]
) -> None:
    below = join(path, "")
    # The copy of zarr v3 is in the document of its own group.
    own = {f"{below}zarr.json"}
    nodes = {key for key in documents if key.startswith(below) and key not in own}
    for key in sorted(nodes.union(below + name for name in copy)):
        name = key[len(below) :]
        # Empty attributes of zarr v2 may have no key.
        nothing: Document | None = {} if name.rpartition("/")[2] == ".zattrs" else None
        listed, copied = documents.get(key, nothing), copy.get(name, nothing)
        if listed is None:
            reason = "is only in the consolidated metadata"
        elif copied is None:
            reason = "is not in the consolidated metadata"
        elif _comparable(key, listed) != _comparable(key, copied):
            reason = "differs from the consolidated metadata"
        else:
            continue
        scan.findings.add("consolidated_metadata", scan.relative(path), key, reason)


def _comparable(key: str, document: Document) -> str:
    """The document as text that is the same for documents with the same meaning."""
    rest = {name: value for name, value in document.items() if name != "consolidated_metadata"}
    name = key.rpartition("/")[2]
    if name != ".zattrs":
        try:
            metadata = parse_document(name, document)
        except DatasetError:
            return json.dumps(document)
        if isinstance(metadata, ArrayMetadata):
            grid = metadata.grid
            rest["chunk_key_encoding"] = rest["dimension_separator"] = None
            rest["grid"] = [grid.encoding, grid.separator]
    return json.dumps(_without_defaults(rest), sort_keys=True)


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
