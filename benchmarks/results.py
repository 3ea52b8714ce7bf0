"""The figures of one operation, and the ratios of one candidate to another.

Pure: no clock, no process, no file.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Sample


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers, their quartiles, and the ends."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """The spread of at least one number."""
        middle = statistics.median(numbers)
        low, high = middle, middle
        if len(numbers) > 1:
            low, _, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(middle, low, high, min(numbers), max(numbers))


@dataclass
class Figures:
    """The rounds of one candidate at one operation.

    Attributes
    ----------
    requests_per_call
        Requests that one call sent, counted before the rounds.
    samples
        One for each round, from the first on.
    warming
        The round before them, which began with little memory.
    amount
        How much one call is, in the operation's unit.
    gil_left
        The share of the GIL that a separate round left to other threads.
    """

    requests_per_call: float
    amount: float
    samples: list[Sample] = field(default_factory=list)
    warming: Sample | None = None
    gil_left: float | None = None

    @property
    def rates(self) -> list[float]:
        """Units a second, for each round."""
        return [sample.calls * self.amount / sample.seconds for sample in self.samples]

    @property
    def cpu_us(self) -> list[float]:
        """Microseconds of the client's CPU for each unit, for each round."""
        return [sample.cpu_seconds * 1e6 / (sample.calls * self.amount) for sample in self.samples]

    @property
    def loop_us(self) -> list[float]:
        """The part of `cpu_us` on the event loop's thread, for each round."""
        return [sample.loop_seconds * 1e6 / (sample.calls * self.amount) for sample in self.samples]

    @property
    def loop_shares(self) -> list[float]:
        """The share of the time for which the event loop's thread was busy, for each round."""
        return [sample.loop_seconds / sample.seconds for sample in self.samples]

    @property
    def grown_bytes(self) -> int | None:
        """The most by which memory grew in a round; None where the system does not state it."""
        all_samples = [*self.samples, *([self.warming] if self.warming else [])]
        grown = [sample.grown_bytes for sample in all_samples if sample.grown_bytes is not None]
        return max(grown, default=None)


@dataclass
class Comparison:
    """One operation at one latency: every candidate's figures, or why it has none."""

    operation: str
    title: str
    unit: str
    latency_ms: float
    figures: dict[str, Figures] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def units(self) -> str:
        """Many of the unit."""
        return self.unit if self.unit.isupper() else f"{self.unit}s"

    def ratio(self, candidate: str, peer: str) -> Spread | None:
        """How many times the peer's rate the candidate's was, in the same round."""
        if not self._both(candidate, peer):
            return None
        rates, others = self.figures[candidate].rates, self.figures[peer].rates
        return Spread.of([rate / other for rate, other in zip(rates, others, strict=False)])

    def ratio_of_medians(self, candidate: str, peer: str) -> float | None:
        """The median of the candidate's rates, as a multiple of the peer's."""
        if not self._both(candidate, peer):
            return None
        mine, theirs = self.figures[candidate].rates, self.figures[peer].rates
        return statistics.median(mine) / statistics.median(theirs)

    def cpu_ratio_of_medians(self, candidate: str, peer: str) -> float | None:
        """The median of the candidate's CPU, as a multiple of the peer's."""
        if not self._both(candidate, peer):
            return None
        mine, theirs = self.figures[candidate].cpu_us, self.figures[peer].cpu_us
        # The kernel counts CPU in steps: no CPU at all is less than one of them.
        return statistics.median(mine) / max(statistics.median(theirs), 1e-3)

    def _both(self, *names: str) -> bool:
        return all(name in self.figures and self.figures[name].samples for name in names)

    def as_plain(self, this: str) -> dict[str, Any]:
        """All of it for JSON, with the ratios of one candidate to each other."""
        return {
            "operation": self.operation,
            "title": self.title,
            "unit": self.unit,
            "units": self.units,
            "candidates": {name: _plain_figures(of) for name, of in self.figures.items()},
            "ratios": {
                peer: _plain_ratio(self, this, peer)
                for peer in self.figures
                if peer != this and self._both(this, peer)
            },
            "left_out": self.left_out,
        }


def _plain_figures(figures: Figures) -> dict[str, Any]:
    rates, cpu = Spread.of(figures.rates), Spread.of(figures.cpu_us)
    loop, busy = Spread.of(figures.loop_us), Spread.of(figures.loop_shares)
    return {
        "per_second": {**_rounded(rates), "rounds": _all_rounded(figures.rates)},
        "cpu_us_per_unit": {**_rounded(cpu), "rounds": _all_rounded(figures.cpu_us)},
        "loop_us_per_unit": {**_rounded(loop), "rounds": _all_rounded(figures.loop_us)},
        "loop_busy_share": _digits(busy.median),
        "gil_left_share": figures.gil_left and _digits(figures.gil_left),
        "requests_per_call": round(figures.requests_per_call, 3),
        "units_per_call": figures.amount,
        "peak_growth_bytes": figures.grown_bytes,
    }


def _plain_ratio(comparison: Comparison, this: str, peer: str) -> dict[str, float]:
    spread = comparison.ratio(this, peer)
    of_medians = comparison.ratio_of_medians(this, peer)
    assert spread is not None
    assert of_medians is not None
    return {**_rounded(spread), "of_medians": _digits(of_medians)}


def _rounded(spread: Spread) -> dict[str, float]:
    return {name: _digits(number) for name, number in vars(spread).items()}


def _all_rounded(numbers: Sequence[float]) -> list[float]:
    return [_digits(number) for number in numbers]


def _digits(number: float) -> float:
    """Four digits, which is more than the precision of any figure here."""
    return float(f"{number:.4g}")
