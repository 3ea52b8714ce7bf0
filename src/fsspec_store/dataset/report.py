"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chunk_set import ChunkSet
    from .findings import Finding
    from .metadata import ArrayMetadata

__all__ = ["ArrayReport", "Report"]

#: Identifies a document of `Report.expectation`.
EXPECTATION_FORMAT = "fsspec-store expectation 1"


@dataclass(frozen=True)
class ArrayReport:  # numpydoc ignore=PR02
    """The chunks of an array; a shard counts as one chunk.

    Parameters
    ----------
    path : str
        Relative to the root of the data set; ``""`` for an array that is the root.
    metadata : ArrayMetadata
        Its metadata.
    present : ChunkSet
        The chunks whose keys are listed.
    missing : ChunkSet
        The chunks that are not, of those of the expectation, or of the grid if that has no such
        array.
    broken : ChunkSet
        The chunks that are present, and of impossible size or otherwise damaged.
    missing_allowed : bool
        Whether missing chunks are fine.
    bytes : int or None
        Size of all listed chunks; ``None`` if the service lists no sizes.
    """

    path: str
    metadata: ArrayMetadata
    present: ChunkSet
    missing: ChunkSet
    broken: ChunkSet
    missing_allowed: bool
    bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """The counts for JSON."""
        grid, codecs = self.metadata.grid, self.metadata.codecs
        return {
            "path": self.path,
            "shape": list(grid.shape),
            "chunk_shape": list(grid.chunk_shape),
            "grid": list(grid.counts),
            "data_type": self.metadata.data_type,
            "codecs": list(codecs.names),
            "sharded": codecs.sharding is not None,
            "chunks": grid.count,
            "present": len(self.present),
            "missing": len(self.missing),
            "missing_allowed": self.missing_allowed,
            "broken": len(self.broken),
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class Report:  # numpydoc ignore=PR02
    """The result of a check of a data set.

    Parameters
    ----------
    prefix : str
        Path of the data set in the store.
    zarr_format : int
        2 or 3.
    groups : int
        Number of groups.
    arrays : tuple of ArrayReport
        The arrays whose metadata can be read, by path.
    findings : tuple of Finding
        What is wrong, by path and kind.
    keys : int
        Number of keys that were listed.
    bytes : int or None
        Size of all listed values; ``None`` if the service lists no sizes.
    """

    prefix: str
    zarr_format: int
    groups: int
    arrays: tuple[ArrayReport, ...]
    findings: tuple[Finding, ...]
    keys: int
    bytes: int | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Warnings are no errors."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are warnings."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON, without the maps of chunks."""
        arrays = [array.to_dict() for array in self.arrays]
        totals = ("chunks", "present", "missing", "broken")
        return {
            "ok": self.ok,
            "prefix": self.prefix,
            "zarr_format": self.zarr_format,
            "keys": self.keys,
            "bytes": self.bytes,
            "groups": self.groups,
            "totals": {name: sum(array[name] for array in arrays) for name in totals},
            "arrays": arrays,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def expectation(self) -> dict[str, Any]:
        """The chunks that are present, for JSON and for later checks of this data set.

        Returns
        -------
        dict
            For each array its shapes and its present chunks: ``"all"``, ``"none"``, or a bitmap in
            C order, least significant bit first, compressed by zlib, in base64.
        """
        return {
            "format": EXPECTATION_FORMAT,
            "arrays": {
                array.path: {
                    "shape": list(array.metadata.grid.shape),
                    "chunk_shape": list(array.metadata.grid.chunk_shape),
                    "present": array.present.to_json(),
                }
                for array in self.arrays
            },
        }
