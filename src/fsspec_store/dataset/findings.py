"""What a check finds: exact counts, and a bounded number of examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = ["Example", "Finding", "Findings", "Kind"]

Kind: TypeAlias = Literal[
    "chunk_size",
    "consolidated_metadata",
    "expectation",
    "invalid_metadata",
    "missing_array",
    "missing_chunk",
    "no_metadata",
    "outside_grid",
    "shard_index",
    "undecodable_chunk",
    "unexpected_chunk",
    "unknown_key",
    "unsupported_metadata",
]

#: Number of examples of one kind and one group or array.
MAX_EXAMPLES = 10


class Example(NamedTuple):  # numpydoc ignore=PR02
    """One key of a finding.

    Parameters
    ----------
    key : str
        Relative to the store's root. A prefix for ``no_metadata``.
    reason : str
        What is wrong with it. Empty when the kind of the finding is the reason.
    """

    key: str
    reason: str


@dataclass(frozen=True)
class Finding:  # numpydoc ignore=PR02
    """All findings of one kind in one group or array.

    Parameters
    ----------
    kind : str
        See the page "Check a data set" of the documentation.
    path : str
        The group or array, relative to the root of the data set.
    count : int
        Number of keys.
    examples : tuple of Example
        The first ten.
    """

    kind: Kind
    path: str
    count: int
    examples: tuple[Example, ...]

    @property
    def severity(self) -> str:
        """``"error"``, or ``"warning"`` for keys that no reader looks at."""
        return "warning" if self.kind == "unknown_key" else "error"

    def to_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "path": self.path,
            "count": self.count,
            "examples": [example._asdict() for example in self.examples],
        }


@dataclass
class _Counted:
    count: int = 0
    examples: list[Example] = field(default_factory=list)


class Findings:
    """Counts findings while a check runs."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kind, str], _Counted] = {}

    def add(self, kind: Kind, path: str, key: str, reason: str = "", *, count: int = 1) -> None:
        """Count a key, or several of which this one is the first."""
        found = self._found.setdefault((kind, path), _Counted())
        found.count += count
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append(Example(key, reason))

    def sorted(self) -> tuple[Finding, ...]:
        """The findings by path and kind."""
        items = sorted(self._found.items(), key=lambda item: (item[0][1], item[0][0]))
        return tuple(
            Finding(kind, path, found.count, tuple(found.examples)) for (kind, path), found in items
        )
