"""What this store is to reach beside its peers, and whether a run's figures reach it.

Medians of one run without latency. All goals are in this module.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.candidates import OBSTORE, THIS, ZARR_FSSPEC, ZARR_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.results import Comparison


@dataclass(frozen=True)
class Goal:
    """A bound for one figure of this store.

    Attributes
    ----------
    operation
        Its name.
    of
        ``rate`` and ``CPU`` are multiples of the peer's, ``loop ms`` is CPU of one call on the
        event loop's thread, ``loop %`` is the share of the time for which that thread was busy.
    bound
        The least rate, or the most of the others.
    peer
        Where the figure is a multiple of a peer's.
    """

    operation: str
    of: Literal["rate", "CPU", "loop ms", "loop %"]
    bound: float
    peer: str = ""


#: Operation, and at least so many times the rate of zarr's FsspecStore and of its ObjectStore.
_OF_LISTINGS = (
    ("ranges", 20.0, 1.0),
    ("list", 3.5, 1.0),
    ("list-dir", 1.5, 1.0),
    ("getsize-prefix", 40.0, 1.0),
    ("delete-dir", 1.2, 1.2),
)
_OVER_HTTP = (
    ("get-whole", 8.0, 1.3),
    ("get-range", 3.0, 1.2),
    ("get-4m", 1.7, 1.1),
    # What zarr's sharded arrays call.
    ("ranges-of-key", 1.2, 1.0),
    ("get-missing", 7.0, 1.2),
    ("exists", 7.0, 1.2),
    ("set-small", 3.0, 1.1),
    ("read-array", 3.0, 1.1),
    *_OF_LISTINGS,
)
_OVER_TLS = (
    ("get-whole", 8.0, 1.2),
    ("get-range", 3.0, 1.1),
    ("ranges-of-key", 3.0, 1.1),
    ("get-missing", 7.0, 1.15),
    ("exists", 7.0, 1.15),
    ("set-small", 5.0, 1.15),
    ("get-4m", 3.0, 1.25),
    ("set-4m", 2.0, 1.3),
    ("get-huge", 3.0, 1.2),
    ("set-huge", 3.0, 1.3),
    ("read-array", 5.0, 1.2),
    ("read-large-array", 2.0, 1.2),
    *_OF_LISTINGS,
)


def _rates(table: Iterable[tuple[str, float, float]]) -> tuple[Goal, ...]:
    return tuple(
        Goal(operation, "rate", ratio, peer)
        for operation, fsspec, rust in table
        for peer, ratio in ((ZARR_FSSPEC, fsspec), (ZARR_OBJECT, rust))
    )


HTTP_GOALS = (
    *_rates(_OVER_HTTP),
    Goal("get-whole", "CPU", 1.0, OBSTORE),
    Goal("get-range", "CPU", 1.0, OBSTORE),
)

TLS_GOALS = (
    *_rates(_OVER_TLS),
    Goal("get-whole", "CPU", 0.7, ZARR_OBJECT),
    Goal("get-range", "CPU", 0.8, ZARR_OBJECT),
    Goal("ranges-of-key", "CPU", 0.8, ZARR_OBJECT),
    Goal("get-missing", "CPU", 0.8, ZARR_OBJECT),
    Goal("exists", "CPU", 0.8, ZARR_OBJECT),
    Goal("set-small", "CPU", 0.9, ZARR_OBJECT),
    Goal("get-4m", "loop ms", 0.6),
    Goal("set-4m", "loop ms", 0.8),
    Goal("get-huge", "loop %", 2.0),
    Goal("set-huge", "loop %", 2.0),
)


@dataclass(frozen=True)
class Outcome:
    """A goal, and the figure."""

    goal: Goal
    title: str
    figure: float

    @property
    def reached(self) -> bool:
        """Whether the figure is within the bound."""
        goal = self.goal
        return self.figure >= goal.bound if goal.of == "rate" else self.figure <= goal.bound

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self.goal),
            "title": self.title,
            "figure": float(f"{self.figure:.4g}"),
            "reached": self.reached,
        }


def outcomes(comparisons: Iterable[Comparison], *, tls: bool) -> list[Outcome]:
    """What became of each goal whose operation and peer were measured without latency."""
    near = {one.operation: one for one in comparisons if not one.latency_ms}
    found = []
    for goal in TLS_GOALS if tls else HTTP_GOALS:
        comparison = near.get(goal.operation)
        figure = None if comparison is None else _figure(comparison, goal)
        if comparison is not None and figure is not None:
            found.append(Outcome(goal, comparison.title, figure))
    return found


def _figure(comparison: Comparison, goal: Goal) -> float | None:
    match goal.of:
        case "rate":
            return comparison.ratio_of_medians(THIS, goal.peer)
        case "CPU":
            return comparison.cpu_ratio_of_medians(THIS, goal.peer)
    figures = comparison.figures.get(THIS)
    if figures is None:
        return None
    if goal.of == "loop ms":
        return statistics.median(figures.loop_us) * figures.amount / 1000
    return statistics.median(figures.loop_shares) * 100
