"""What a transfer refuses before it changes anything."""

from __future__ import annotations

from contextlib import aclosing
from glob import escape
from typing import TYPE_CHECKING

from ..errors import RefusedError
from .key_order import rank
from .plans import location
from .selection import Selection

if TYPE_CHECKING:
    from .._store.contract import Store
    from .options import Options

__all__ = ["check_apart", "check_deletes", "check_fresh", "check_max_delete"]


def check_apart(source: Store, target: Store, options: Options) -> None:
    """Raise `RefusedError` if a transfer would change what it reads."""
    excluded = Selection(exclude=options.get("exclude", ())).exclude
    for which, inner, outer in (("target", target, source), ("source", source, target)):
        prefix = inner.prefix_in(outer)
        pattern = f"/{escape(prefix or '')}**"
        if prefix and not {pattern, pattern[1:]}.intersection(excluded):
            raise RefusedError(
                f"the {which} {location(inner)} is a part of {location(outer)}; "
                f"exclude={pattern[1:]!r} leaves its keys out"
            )


async def check_fresh(target: Store) -> None:
    """Raise `RefusedError` if a store has metadata at its root."""
    async with aclosing(target.list_dir("")) as names:
        async for name in names:
            if rank(name).is_root:
                raise RefusedError(
                    f"{target!r} has {name!r} at its root: an atomic copy needs a target without "
                    "it",
                    key=name,
                )


def check_max_delete(max_delete: float) -> None:  # numpydoc ignore=PR01
    """Raise ``ValueError`` unless it is a number of keys (an integer), or a share of 0.0 to 1.0."""
    if not isinstance(max_delete, bool):
        if isinstance(max_delete, int) and max_delete >= 0:
            return
        if isinstance(max_delete, float) and 0 <= max_delete <= 1:
            return
    raise ValueError(
        f"max_delete must be a number of keys, or a share from 0.0 to 1.0, got {max_delete!r}"
    )


def check_deletes(deletes: int, keys: int, max_delete: float) -> None:
    """Raise `RefusedError` when a transfer would delete more than it may.

    Parameters
    ----------
    keys : int
        Number of keys of the target.
    max_delete : float or int
        A number of keys if it is an integer, else a share of ``keys``.
    """
    most = max_delete if isinstance(max_delete, int) else max_delete * keys
    if deletes > most:
        bound = f"{max_delete}" if isinstance(max_delete, int) else f"{max_delete:.0%} of them"
        raise RefusedError(
            f"{deletes} of {keys} keys would be deleted, and at most {bound} may be; nothing was "
            "changed. Raise max_delete if this is intended"
        )
