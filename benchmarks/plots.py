"""Plots of a run's JSON document: ratios of rates, CPU, and what distance does.

Knows matplotlib, which nothing else here needs. Draws SVG files that are the same for the same
document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.candidates import CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: Okabe and Ito's palette (2008), distinct for readers of every kind of colour vision.
_COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#000000")
_MARKERS = "osD^vPX"

_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "svg.hashsalt": "benchmarks",
}

#: Operations whose rates are drawn over the distance, where they were measured.
_OVER_DISTANCE = ("get-whole", "ranges", "list", "set-small", "read-array", "open-group")


def draw(document: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what the document has figures for.

    Returns
    -------
    list of Path
        The files written: ``throughput.svg``, ``cpu.svg``, and ``latency.svg`` where there were
        several latencies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = document["runs"][0]
    plots: dict[str, Callable[[], Figure]] = {
        "throughput": lambda: _throughput(document, first),
        "cpu": lambda: _cpu(document, first),
    }
    if len(document["runs"]) > 1:
        plots["latency"] = lambda: _latency(document)
    files = []
    with mpl.rc_context(_STYLE):
        for name, plot in plots.items():
            figure = plot()
            file = folder / f"{name}.svg"
            figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)
            files.append(file)
    return files


def _throughput(document: dict[str, Any], run: dict[str, Any]) -> Figure:
    """Ratios of rates as bars from 1, with the quartiles of the rounds as whiskers."""
    this = document["titles"][document["this"]]
    figure, axes = _rows(run["operations"])
    peers = _present(document, run["operations"], "ratios")
    for place, peer in enumerate(peers):
        found = [
            (row, operation["ratios"][peer])
            for row, operation in enumerate(run["operations"])
            if peer in operation["ratios"]
        ]
        rows = np.array([row for row, _ in found]) + _offset(place, len(peers))
        middle = np.array([ratio["median"] for _, ratio in found])
        errors = np.array(
            [
                [ratio["median"] - ratio["low"] for _, ratio in found],
                [ratio["high"] - ratio["median"] for _, ratio in found],
            ]
        )
        axes.barh(
            rows,
            middle - 1,
            left=1,
            height=0.8 / len(peers),
            color=_look(peer)["color"],
            label=f"against {document['titles'][peer]}",
            xerr=errors,
            error_kw={"linewidth": 0.8, "capsize": 1.5, "ecolor": "#333333"},
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"{this}'s throughput, as a multiple of the other's (median, quartiles)")
    _finish(axes, f"Throughput, {_conditions(document, run)}")
    _plain_numbers(axes.xaxis, "{:g}x", at=(1, 2, 5))
    return figure


def _cpu(document: dict[str, Any], run: dict[str, Any]) -> Figure:
    """CPU of each unit as dots: on a scale without a zero, bars would have no length."""
    figure, axes = _rows(run["operations"])
    names = _present(document, run["operations"], "candidates")
    for place, name in enumerate(names):
        found = [
            (row, operation["candidates"][name]["cpu_us_per_unit"]["median"])
            for row, operation in enumerate(run["operations"])
            if name in operation["candidates"]
        ]
        rows = np.array([row for row, _ in found]) + _offset(place, len(names))
        axes.plot(
            [cpu for _, cpu in found],
            rows,
            linestyle="none",
            **_look(name),
            label=document["titles"][name],
        )
    labels = [f"{operation['title']} (each {operation['unit']})" for operation in run["operations"]]
    axes.set_yticks(range(len(labels)), labels)
    axes.grid(axis="y")
    axes.set_xlabel("CPU time of the client, microseconds (median)")
    _finish(axes, f"CPU, {_conditions(document, run)}")
    _plain_numbers(axes.xaxis, "{:,.0f}", at=(1, 3))
    return figure


def _latency(document: dict[str, Any]) -> Figure:
    """Rates over the latency, a panel for each operation."""
    runs = sorted(document["runs"], key=lambda run: float(run["latency_ms"]))
    by_name = [{one["operation"]: one for one in run["operations"]} for run in runs]
    shown = [name for name in _OVER_DISTANCE if all(name in one for one in by_name)]
    shown = shown or [operation["operation"] for operation in runs[0]["operations"][:1]]
    columns = min(3, len(shown))
    figure, panels = plt.subplots(
        -(-len(shown) // columns), columns, figsize=(9, 2.7 * -(-len(shown) // columns)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    ticks = range(len(runs))
    for panel, operation in zip(panels.flat, shown, strict=False):
        for name in document["titles"]:
            points = [
                (tick, one[operation]["candidates"][name]["per_second"]["median"])
                for tick, one in zip(ticks, by_name, strict=True)
                if name in one[operation]["candidates"]
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True),
                    **_look(name),
                    label=document["titles"][name],
                )
        one = by_name[0][operation]
        panel.set_title(one["title"], fontsize=9)
        panel.set_ylabel(f"{one['units']} per second")
        panel.set_yscale("log")
        panel.set_xticks(ticks, [f"{run['latency_ms']:g}" for run in runs])
        panel.set_xlabel("added latency, milliseconds")
        panel.grid()
        _plain_numbers(panel.yaxis, "{:,.0f}", at=(1, 2, 5))
    for panel in list(panels.flat)[len(shown) :]:
        panel.set_axis_off()
    figure.legend(
        *panels.flat[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(document["titles"]),
        frameon=False,
    )
    return figure


def _rows(operations: list[dict[str, Any]]) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.42 * len(operations)))
    axes.set_yticks(range(len(operations)), [operation["title"] for operation in operations])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.grid(axis="x")
    return figure, axes


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def _offset(place: int, of: int) -> float:
    return (place - (of - 1) / 2) * 0.8 / of


def _present(document: dict[str, Any], operations: list[dict[str, Any]], where: str) -> list[str]:
    return [name for name in document["titles"] if any(name in one[where] for one in operations)]


def _look(name: str) -> dict[str, Any]:
    """Colour and marker of a candidate, the same in all plots of all runs."""
    number = list(CANDIDATES).index(name)
    return {"color": _COLOURS[number], "marker": _MARKERS[number], "markersize": 4}


def _plain_numbers(axis: Axis, form: str, at: tuple[int, ...]) -> None:
    """Numbers in full at some places of each decade of a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=at))
    axis.set_major_formatter(lambda number, _: form.format(number))
    axis.set_minor_formatter(NullFormatter())


def _conditions(document: dict[str, Any], run: dict[str, Any]) -> str:
    distance = f"{run['latency_ms']:g} ms added" if run["latency_ms"] else "no latency added"
    protocol = "TLS" if document["tls"] else "plain HTTP"
    where = f"{document['server']}, {protocol}, {distance}"
    return f"{where}, {document['cpus']} cores, {document['date']}"
