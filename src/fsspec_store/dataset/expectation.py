"""Which chunks of an array have to be present: all, those of an expectation, or any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .chunk_set import ChunkSet
from .errors import ExpectationError
from .report import EXPECTATION_FORMAT

if TYPE_CHECKING:
    from .findings import Findings
    from .metadata import ArrayMetadata

__all__ = ["Required"]


class Required:
    """The rules of one check about missing chunks.

    Parameters
    ----------
    allow_missing : bool or iterable of str
        Patterns of the arrays whose chunks may be missing.
    expectation : mapping or None
        A result of `Report.expectation`.
    """

    def __init__(
        self, allow_missing: bool | Iterable[str], expectation: Mapping[str, Any] | None
    ) -> None:
        if isinstance(allow_missing, bool):
            self._patterns = ["*"] if allow_missing else []
        elif isinstance(allow_missing, str):
            raise TypeError("allow_missing must be True or a list of patterns, got a str")
        else:
            self._patterns = list(allow_missing)
        self._expected = {} if expectation is None else _arrays(expectation)

    def may_miss(self, path: str) -> bool:
        """Whether missing chunks of an array are fine."""
        return any(fnmatchcase(path, pattern) for pattern in self._patterns)

    def absent(self, paths: Iterable[str]) -> list[str]:
        """The arrays of the expectation that the data set does not have."""
        return sorted(self._expected.keys() - set(paths))

    def chunks(self, path: str, metadata: ArrayMetadata, findings: Findings) -> ChunkSet:
        """The chunks that have to be present."""
        grid = metadata.grid
        every = ChunkSet(grid.count, full=True)
        if path not in self._expected:
            return every
        entry = self._expected[path]
        shapes = [list(grid.shape), list(grid.chunk_shape)]
        expected = [entry.get("shape"), entry.get("chunk_shape")]
        if shapes != expected:
            reason = "shape {} in chunks of {}, {} in chunks of {} expected"
            findings.add("expectation", path, path, reason.format(*shapes, *expected))
            return every
        try:
            return ChunkSet.from_json(entry.get("present"), grid.count)
        except ValueError as error:
            raise ExpectationError(f"invalid expectation of array {path!r}: {error}") from error


def _arrays(expectation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    arrays = expectation.get("arrays") if isinstance(expectation, Mapping) else None
    if (
        not isinstance(arrays, Mapping)
        or expectation.get("format") != EXPECTATION_FORMAT
        or not all(isinstance(entry, Mapping) for entry in arrays.values())
    ):
        raise ExpectationError(f"not an expectation: its format is not {EXPECTATION_FORMAT!r}")
    return dict(arrays)
