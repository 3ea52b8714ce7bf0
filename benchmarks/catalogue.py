"""Every operation there is, by its name, in the order of the tables."""

from __future__ import annotations

from benchmarks.store_operations import STORE_OPERATIONS
from benchmarks.zarr_operations import ZARR_OPERATIONS

OPERATIONS = {operation.name: operation for operation in (*STORE_OPERATIONS, *ZARR_OPERATIONS)}
