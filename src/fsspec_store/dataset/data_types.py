"""Sizes in bytes of the items of zarr's data types; ``None`` where variable or unknown."""

from __future__ import annotations

import re

import numpy as np

from .errors import InvalidMetadataError
from .fields import name_and_configuration

__all__ = ["v2_item_size", "v3_item_size"]

#: Types whose name does not end with their size in bits. Types of less than a byte take one byte.
_SIZES = {
    "bool": 1,
    "bfloat16": 2,
    "int2": 1,
    "int4": 1,
    "uint2": 1,
    "uint4": 1,
    "numpy.datetime64": 8,
    "numpy.timedelta64": 8,
}
_BITS = re.compile(r"(?:u?int|float|complex|r)(8|16|32|64|128|256)")
_MINIFLOAT = re.compile(r"float[468]_\w+")
_FIXED_LENGTH = {"fixed_length_utf32", "null_terminated_bytes", "raw_bytes"}
_STRUCTURES = {"struct", "structured"}


def v3_item_size(data_type: object) -> int | None:
    """Size of an item of a ``data_type`` of zarr v3."""
    name, configuration = name_and_configuration(data_type, "data_type")
    if name in _SIZES:
        return _SIZES[name]
    if bits := _BITS.fullmatch(name):
        return int(bits[1]) // 8
    if _MINIFLOAT.fullmatch(name):
        return 1
    if name in _FIXED_LENGTH:
        length = configuration.get("length_bytes")
        return length if type(length) is int and length >= 0 else None
    if name in _STRUCTURES:
        return _structure_size(configuration.get("fields"))
    return None


def _structure_size(fields: object) -> int | None:
    if not isinstance(fields, list):
        return None
    total = 0
    for field in fields:
        # Older releases of zarr-python write a list of name and type.
        if isinstance(field, list) and len(field) == 2:
            data_type = field[1]
        elif isinstance(field, dict):
            data_type = field.get("data_type")
        else:
            return None
        size = v3_item_size(data_type)
        if size is None:
            return None
        total += size
    return total


def v2_item_size(dtype: object) -> int | None:
    """Size of an item of a ``dtype`` of zarr v2: NumPy's ``"<f8"``, or a list of fields."""
    try:
        parsed = np.dtype(_as_numpy(dtype))
    except (TypeError, ValueError) as error:
        raise InvalidMetadataError(f"not a dtype of NumPy: {dtype!r}") from error
    return None if parsed.hasobject else parsed.itemsize


def _as_numpy(dtype: object) -> str | list[tuple[object, ...]]:
    if isinstance(dtype, str):
        return dtype
    if not isinstance(dtype, list):
        raise TypeError("neither a string nor a list")
    fields: list[tuple[object, ...]] = []
    for name, kind, *shape in dtype:
        fields.append((name, _as_numpy(kind), *(tuple(sizes) for sizes in shape)))
    return fields
