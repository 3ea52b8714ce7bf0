"""Compare this store with its peers, on a server that is started here.

Run it from the repository's root. What is measured, and how, is in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import tables
from benchmarks.candidates import CANDIDATES
from benchmarks.catalogue import OPERATIONS
from benchmarks.document import document
from benchmarks.goals import outcomes
from benchmarks.places import SERVERS, ServerUnavailable, place_on
from benchmarks.rounds import Settings, absent, compare
from benchmarks.scale import FULL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.results import Comparison


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    settings = _settings(given)
    shown: set[float] = set()

    def show(comparison: Comparison) -> None:
        if comparison.latency_ms not in shown:
            shown.add(comparison.latency_ms)
            print(tables.heading(comparison.latency_ms))
        print(tables.block(comparison), flush=True)

    try:
        with place_on(given.server, plain=given.plain) as place:
            missing = absent(place, settings)
            for line in tables.absentees(missing):
                print(line)
            comparisons = compare(place, settings, show)
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    found = document(given.server, place, settings, comparisons, missing)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    if given.plots:
        # matplotlib is needed for plots alone.
        from benchmarks.plots import draw

        draw(found, given.plots)
    print(tables.rule())
    if settings.scale != FULL:
        print("The goals are for a full run; this is a quick one.")
    print(*tables.goals(outcomes(comparisons, tls=place.ca is not None)), sep="\n")
    return 0


def _settings(given: argparse.Namespace) -> Settings:
    return Settings(
        operations=tuple(name for name in OPERATIONS if name in (given.only or OPERATIONS)),
        candidates=tuple(name for name in CANDIDATES if name in (given.candidates or CANDIDATES)),
        latencies=given.latency,
        rounds=given.rounds or (3 if given.quick else 5),
        seconds=given.seconds or (0.15 if given.quick else 0.5),
        at_once=given.at_once,
        scale=QUICK if given.quick else FULL,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--server", choices=SERVERS, default="seaweedfs", help="default: %(default)s")
    add("--plain", action="store_true", help="plain HTTP; azurite and fake-gcs have nothing else")
    add(
        "--latency",
        type=_latencies,
        default=(0.0,),
        metavar="MS,...",
        help="milliseconds added to each response; 0 is without the proxy that adds them (default)",
    )
    add("--rounds", type=_positive(int), help="default: 5, or 3 with --quick")
    add(
        "--seconds",
        type=_positive(float),
        help="of a round of a small operation; default: 0.5, or 0.15 with --quick",
    )
    add(
        "--at-once",
        type=_positive(int),
        default=32,
        help="concurrent small operations; default: %(default)s",
    )
    add("--only", nargs="+", choices=OPERATIONS, metavar="NAME", help=_names(OPERATIONS))
    add("--candidates", nargs="+", choices=CANDIDATES, metavar="NAME", help=_names(CANDIDATES))
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    add("--plots", type=Path, metavar="FOLDER", help="draw plots there, which needs matplotlib")
    add(
        "--quick",
        action="store_true",
        help="smaller workloads and fewer rounds, in about three minutes",
    )
    return parser


def _names(names: Iterable[str]) -> str:
    return f"some of: {', '.join(names)}"


def _latencies(text: str) -> tuple[float, ...]:
    latencies = tuple(float(part) for part in text.split(","))
    if min(latencies) < 0 or len(set(latencies)) < len(latencies):
        raise argparse.ArgumentTypeError("latencies are not negative, and each is given once")
    return latencies


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        number = kind(text)
        if number <= 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return number

    return positive


if __name__ == "__main__":
    sys.exit(main())
