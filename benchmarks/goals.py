"""What this store is to reach beside its peers, and whether a run's figures reach it.

Ratios of medians in one run, on SeaweedFS and without latency. All goals are in this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.candidates import OBSTORE, THIS, ZARR_FSSPEC, ZARR_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.results import Comparison


@dataclass(frozen=True)
class Goal:
    """At least so many times a peer's rate, or a peer's CPU at least so many times this store's."""

    operation: str
    peer: str
    at_least: float
    of: Literal["rate", "CPU"] = "rate"


#: Operation, and at least so many times the rate of zarr's FsspecStore and of its ObjectStore.
_RATES = (
    ("get-whole", 8.0, 1.3),
    ("get-range", 3.0, 1.2),
    ("get-4m", 1.7, 1.1),
    ("ranges", 20.0, 1.0),
    # What zarr's sharded arrays call.
    ("ranges-of-key", 1.2, 1.0),
    ("get-missing", 7.0, 1.2),
    ("exists", 7.0, 1.2),
    ("set-small", 3.0, 1.1),
    ("list", 3.5, 1.0),
    ("list-dir", 1.5, 1.0),
    ("getsize-prefix", 40.0, 1.0),
    ("delete-dir", 1.2, 1.2),
    ("read-array", 3.0, 1.1),
)

#: Reads whose CPU is to be less than obstore's own.
_SMALL_READS = ("get-whole", "get-range")

GOALS = (
    *(
        Goal(operation, peer, ratio)
        for operation, fsspec, rust in _RATES
        for peer, ratio in ((ZARR_FSSPEC, fsspec), (ZARR_OBJECT, rust))
    ),
    *(Goal(operation, OBSTORE, 1.0, "CPU") for operation in _SMALL_READS),
)


@dataclass(frozen=True)
class Outcome:
    """A goal, and what was reached."""

    goal: Goal
    title: str
    ratio: float

    @property
    def reached(self) -> bool:
        """Whether it is enough."""
        return self.ratio >= self.goal.at_least

    def as_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self.goal),
            "title": self.title,
            "ratio": float(f"{self.ratio:.4g}"),
            "reached": self.reached,
        }


def outcomes(comparisons: Iterable[Comparison]) -> list[Outcome]:
    """What became of each goal whose operation and peer were measured without latency."""
    near = {one.operation: one for one in comparisons if not one.latency_ms}
    found = []
    for goal in GOALS:
        comparison = near.get(goal.operation)
        if comparison is None:
            continue
        ratio_of = (
            comparison.ratio_of_medians if goal.of == "rate" else comparison.cpu_ratio_of_medians
        )
        ratio = ratio_of(THIS, goal.peer)
        if ratio is not None:
            found.append(Outcome(goal, comparison.title, ratio))
    return found
