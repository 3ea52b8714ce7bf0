"""Typed access to the fields of JSON documents; errors name the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from .errors import InvalidMetadataError

__all__ = ["Document", "field", "load", "name_and_configuration", "numbers"]

#: An object of JSON.
Document: TypeAlias = Mapping[str, Any]


def load(content: bytes) -> Document:
    """The object of a JSON text."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidMetadataError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidMetadataError(f"a JSON object was expected, got {_shown(document)}")
    return document


def field(document: Document, name: str) -> Any:
    """The value of a required field."""
    if name not in document:
        raise InvalidMetadataError(f"no field {name!r}")
    return document[name]


def numbers(document: Document, name: str, *, minimum: int = 0) -> tuple[int, ...]:
    """The value of a required field that is a list of integers."""
    value = field(document, name)
    valid = isinstance(value, list) and all(type(n) is int and n >= minimum for n in value)
    if not valid:
        raise InvalidMetadataError(
            f"{name!r} must be a list of integers >= {minimum}, got {_shown(value)}"
        )
    return tuple(value)


def name_and_configuration(extension: object, what: str) -> tuple[str, Document]:
    """An extension of zarr v3: ``{"name": ..., "configuration": {...}}``, or the name alone."""
    if isinstance(extension, str):
        return extension, {}
    if isinstance(extension, dict) and isinstance(extension.get("name"), str):
        configuration = extension.get("configuration") or {}
        if isinstance(configuration, dict):
            return extension["name"], configuration
    raise InvalidMetadataError(f"{what} must have a name, got {_shown(extension)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
