"""Numbers of keys and bytes of the prefixes of a store, from one listing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """The number of keys below a prefix, and of their bytes.

    Attributes
    ----------
    keys : int
        Number of keys; 1 for a key.
    bytes : int
        Sum of the sizes.
    is_prefix : bool
        Whether there are keys below this name.
    children : dict
        The totals of the names directly below, down to the depth that was asked for.
    """

    keys: int = 0
    bytes: int = 0
    is_prefix: bool = False
    children: dict[str, Totals] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[tuple[str, int]], depth: int) -> Totals:
        """The totals of keys with sizes, and of names down to ``depth`` levels.

        Memory is needed for these names, not for all keys.
        """
        root = cls(is_prefix=True)
        for key, size in entries:
            root._add(size)
            node = root
            names = key.split("/")
            for level, name in enumerate(names[:depth], 1):
                node = node.children.setdefault(name, cls())
                node._add(size)
                node.is_prefix = node.is_prefix or level < len(names)
        return root

    def _add(self, size: int) -> None:
        self.keys += 1
        self.bytes += size

    def sorted_children(self) -> list[tuple[str, Totals]]:
        """The names directly below with their totals, in the order of their UTF-8 bytes."""
        return sorted(
            self.children.items(), key=lambda child: child[0].encode("utf-8", "surrogateescape")
        )

    def walk(self, above: str = "") -> Iterator[tuple[str, Totals]]:
        """All names with their totals, each prefix after the names below it."""
        for name, child in self.sorted_children():
            path = f"{above}/{name}" if above else name
            yield from child.walk(path)
            yield path, child

    def as_dict(self, name: str) -> dict[str, Any]:
        """The totals for JSON. A name without ``children`` is a key, or at the last level."""
        found: dict[str, Any] = {"name": name, "keys": self.keys, "bytes": self.bytes}
        if self.children:
            found["children"] = [child.as_dict(name) for name, child in self.sorted_children()]
        return found
