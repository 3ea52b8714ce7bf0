"""One step of a plan, and its form in a plan's file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from .._store.entries import Entry

__all__ = ["Operation", "Reason", "State"]

#: Why a key is copied or deleted.
Reason: TypeAlias = Literal[
    "missing", "size", "checksum", "bytes", "newer", "unknown", "extra", "removed"
]


@dataclass(frozen=True, slots=True)
class State:
    """What a listing showed of one value.

    Attributes
    ----------
    size : int
        In bytes.
    version : str or None
        Its ETag or generation, if the listing has one.
    modified : datetime or None
        In UTC.
    """

    size: int
    version: str | None = None
    modified: datetime | None = None

    @classmethod
    def of(cls, entry: Entry | None) -> Self | None:
        """The state of a listed value; ``None`` for a missing one.

        Parameters
        ----------
        entry : Entry or None
            Of a listing.
        """
        return None if entry is None else cls(entry.size, entry.version, entry.modified)

    def as_plain(self) -> list[Any]:
        """For JSON."""
        modified = None if self.modified is None else self.modified.isoformat()
        return [self.size, self.version, modified]

    @classmethod
    def from_plain(cls, found: list[Any]) -> Self:
        """Return the state of which `as_plain` returned this.

        Parameters
        ----------
        found : list
            Size, version and time.

        Raises
        ------
        ValueError, TypeError
            When it is not the state of a value.
        """
        size, version, modified = found
        if type(size) is not int or not isinstance(version, str | None):
            raise ValueError(f"invalid state {found!r}")
        return cls(size, version, None if modified is None else datetime.fromisoformat(modified))


@dataclass(frozen=True, slots=True)
class Operation:
    """One key to copy or delete.

    Attributes
    ----------
    action : {"copy", "delete"}
        What is done with the key of the target.
    key : str
        Relative to the root of both stores.
    reason : str
        Why: ``missing`` in the target, another ``size``, ``checksum`` or other ``bytes``, ``newer``
        in the source, ``unknown`` when nothing can be compared, ``extra`` in the target,
        ``removed`` on request.
    source, target : State or None
        What the listings showed; ``None`` for a missing key.
    """

    action: Literal["copy", "delete"]
    key: str
    reason: Reason
    source: State | None
    target: State | None

    @property
    def size(self) -> int:
        """Bytes to copy; 0 for a delete."""
        return self.source.size if self.action == "copy" and self.source is not None else 0

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "action": self.action,
            "key": self.key,
            "reason": self.reason,
            "source": None if self.source is None else self.source.as_plain(),
            "target": None if self.target is None else self.target.as_plain(),
        }

    @classmethod
    def from_plain(cls, found: dict[str, Any]) -> Self:
        """Return the operation of which `as_plain` returned this.

        Parameters
        ----------
        found : dict
            A line of a plan's file.

        Raises
        ------
        ValueError, KeyError, TypeError
            When it is not an operation.
        """
        source, target = found["source"], found["target"]
        if found["action"] not in ("copy", "delete"):
            raise ValueError(f"unknown action {found['action']!r}")
        if not isinstance(found["key"], str):
            raise TypeError(f"key must be a str, got {found['key']!r}")
        return cls(
            found["action"],
            found["key"],
            found["reason"],
            None if source is None else State.from_plain(source),
            None if target is None else State.from_plain(target),
        )
