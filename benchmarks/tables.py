"""The figures as text, for a terminal.

Knows columns and units of what is shown, and nothing of how it was measured.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.candidates import CANDIDATES, THIS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchmarks.goals import Outcome
    from benchmarks.results import Comparison, Figures

_COLUMNS = "{:33}{:>10}{:>20}{:>25}{:>9}{:>8}{:>6}{:>11}{:>9}"
_WIDTH = 131


def heading(latency_ms: float) -> str:
    """What stands above the comparisons of one latency."""
    where = f"{latency_ms:g} ms" if latency_ms else "none"
    what = ("a second", "", "fsspec-store is", "CPU us", "loop us", "GIL", "requests", "peak MB")
    units = ("(median)", "(least-most)", "(quartiles)", "each", "each", "left", "a call", "more")
    names = _COLUMNS.format(f"latency added: {where}", *what)
    below = _COLUMNS.format("", *units)
    return "\n".join([rule(), names, below, rule()])


def block(comparison: Comparison) -> str:
    """One operation: a line for each candidate."""
    lines = [f"{comparison.title}, {comparison.units}"]
    lines += [
        _line(comparison, name, figures)
        for name, figures in comparison.figures.items()
        if figures.samples
    ]
    if not comparison.figures:
        return "\n".join([*lines, f"  left out: {'; '.join(set(comparison.left_out.values()))}"])
    lines += [
        f"  {CANDIDATES[name].title:31}left out: {reason}"
        for name, reason in comparison.left_out.items()
    ]
    return "\n".join(lines)


def absentees(absent: Mapping[str, str]) -> Iterator[str]:
    """A line for each candidate that takes no part."""
    for name, reason in absent.items():
        yield f"without {CANDIDATES[name].title}: {reason}"


def rule() -> str:
    """What stands between parts."""
    return "=" * _WIDTH


def goals(found: Iterable[Outcome]) -> Iterator[str]:
    """A line for each goal, and one that counts them."""
    found = list(found)
    for outcome in found:
        goal = outcome.goal
        peer = f"x {CANDIDATES[goal.peer].title}" if goal.peer else ""
        yield (
            f"{'reached' if outcome.reached else 'MISSED':9}{outcome.title}, {goal.of}: "
            f"{outcome.figure:.2f}{peer}, goal {'<' if goal.of != 'rate' else '>'}= {goal.bound:g}"
        )
    yield f"{sum(outcome.reached for outcome in found)} of {len(found)} goals reached"


def _line(comparison: Comparison, name: str, figures: Figures) -> str:
    ratio = None if name == THIS else comparison.ratio(THIS, name)
    times = "" if ratio is None else f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"
    grown = figures.grown_bytes
    return _COLUMNS.format(
        f"  {CANDIDATES[name].title}",
        _number(median(figures.rates)),
        f"({_number(min(figures.rates))}-{_number(max(figures.rates))})",
        times,
        _number(median(figures.cpu_us)),
        _number(median(figures.loop_us)),
        "?" if figures.gil_left is None else f"{figures.gil_left:.0%}",
        f"{figures.requests_per_call:,.2f}",
        "?" if grown is None else f"{grown / 1e6:.1f}",
    )


def _number(number: float) -> str:
    """Whole from a hundred on, with a decimal below, with two below ten."""
    return f"{number:,.{0 if number >= 100 else 1 if number >= 10 else 2}f}"
