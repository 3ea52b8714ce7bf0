"""The page of a check: totals, findings, and a map of the chunks of each array."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from .._core.text import human_size, printable
from ..dataset.chunk_set import ChunkSet
from .chunk_map import KINDS, ChunkMap, Layout
from .page import MAX_LISTED, bulleted, code, escaped, facts, more, page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ..dataset import ArrayReport, Finding, Report

__all__ = ["check_page", "finding_title"]

#: Bytes of all maps and findings. The page stays below 5 MB.
_MAX_BYTES = 3_000_000
#: While others follow, a map has this part of what is left.
_SHARE = 4

#: Patterns of the fills, which are visible without colours too.
_PATTERNS = """<svg class="patterns" width="0" height="0" aria-hidden="true"><defs>
<pattern id="missing" width="5" height="5" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect class="under" width="5" height="5"/>
<rect class="over" width="3" height="5"/></pattern>
<pattern id="allowed" width="5" height="5" patternUnits="userSpaceOnUse"
 patternTransform="rotate(45)"><rect class="under" width="5" height="5"/>
<rect class="over" width="1" height="5"/></pattern>
<pattern id="broken" width="5" height="5" patternUnits="userSpaceOnUse">
<rect class="under" width="5" height="5"/><path class="over" d="M0 0l5 5M5 0l-5 5"/></pattern>
<pattern id="absent" width="5" height="5" patternUnits="userSpaceOnUse">
<rect class="under" width="5" height="5"/><circle class="over" cx="2.5" cy="2.5" r="1"/></pattern>
<pattern id="lines" width="10" height="10" patternUnits="userSpaceOnUse">
<path class="over" d="M0 0h10M0 0v10"/></pattern>
</defs></svg>"""


def check_page(
    report: Report,
    *,
    url: str = "",
    command: str = "",
    seconds: float | None = None,
    date: datetime | None = None,
) -> str:
    """The result of a check as one page of HTML, which needs no network.

    It has totals, findings, and a map of the chunks of each array. A script zooms into the maps;
    without JavaScript all else is readable. The page has less than 5 MB: consecutive chunks of
    large grids are combined.

    Parameters
    ----------
    report : Report
        The result of `fsspec_store.dataset.check`.
    url : str, optional
        URL of the data set, without secrets.
    command : str, optional
        The command that makes the report again, without secrets.
    seconds : float, optional
        Duration of the check.
    date : datetime, optional
        When the check ended; by default now.

    Returns
    -------
    str
        The document.
    """
    counts = report.to_dict()
    totals = [
        ("Arrays", f"{len(report.arrays):,}"),
        ("Groups", f"{report.groups:,}"),
        ("Keys", f"{report.keys:,}"),
        ("Size", _size(report.bytes)),
        *((name.capitalize(), f"{count:,}") for name, count in counts["totals"].items()),
    ]
    about = [("URL", code(url))] if url else []
    about.append(("Format", f"zarr v{report.zarr_format}"))
    if report.prefix:
        about.append(("Prefix", code(report.prefix)))
    if seconds is not None:
        about.append(("Duration", f"{seconds:,.1f} s"))
    body = [f"<h2>Totals</h2>{facts(totals, 'totals')}"]
    found = {
        path: list(findings)
        for path, findings in groupby(report.findings, key=lambda finding: finding.path)
    }
    paths = {array.path for array in report.arrays}
    others = [finding for finding in report.findings if finding.path not in paths]
    room = _Room()
    if others:
        body += ["<h2>Findings</h2>", room.take(_findings(others), "these findings")]
    if report.arrays:
        body += ["<h2>Arrays</h2>", _PATTERNS, *_arrays(report, found, room)]
    return page(
        f"Check of {url or 'a data set'}",
        ok=report.ok,
        verdict=_verdict(report),
        about=about,
        command=command,
        date=date,
        body="\n".join(body),
        script="chunk_map.js",
    )


def finding_title(finding: Finding) -> str:
    """The kind of a finding and where it is, with the number of keys."""
    kind = finding.kind.replace("_", " ")
    return f"{kind} in {finding.path or '/'}: {finding.count:,}"


def _verdict(report: Report) -> str:
    if report.ok:
        warnings = sum(finding.count for finding in report.warnings)
        return "Complete" + (f", with {warnings:,} warnings" if warnings else "")
    return f"Not complete: {sum(finding.count for finding in report.errors):,} errors"


def _size(size: int | None) -> str:
    return "unknown" if size is None else f'<span title="{size} bytes">{human_size(size)}</span>'


def _findings(found: Sequence[Finding]) -> str:
    parts = []
    for finding in found[:MAX_LISTED]:
        examples = (f"{code(key)} {escaped(reason)}".rstrip() for key, reason in finding.examples)
        parts.append(
            f'<section class="finding {finding.severity}">'
            f"<h4><span>{finding.severity}</span> {escaped(finding_title(finding))}</h4>"
            f"{bulleted(examples)}{more(finding.count - len(finding.examples), 'keys')}</section>"
        )
    return "".join(parts) + more(len(found) - MAX_LISTED, "kinds of findings")


class _Room:
    """The bytes that are left for maps and findings."""

    def __init__(self) -> None:
        self.left = _MAX_BYTES

    def take(self, part: str, what: str) -> str:
        """The part, or a sentence if there is no space for it."""
        if len(part.encode()) > self.left:
            return f'<p class="more">The page has no space for {what}.</p>'
        self.left -= len(part.encode())
        return part


def _arrays(report: Report, found: Mapping[str, Sequence[Finding]], room: _Room) -> list[str]:
    """A section for each array, first those with findings."""
    arrays = sorted(report.arrays, key=lambda array: array.path not in found)
    parts: list[str] = []
    for place, array in enumerate(arrays[:MAX_LISTED]):
        share = room.left // min(_SHARE, len(arrays) - place)
        drawn = room.take(_map(report, array, share), "this map")
        findings = found.get(array.path, ())
        listed = room.take(_findings(findings), "these findings")
        is_open = bool(findings) or len(array.missing) > 0
        parts.append(_array(array, drawn + listed, is_open=is_open))
    parts.append(more(len(arrays) - MAX_LISTED, "arrays"))
    return parts


def _array(array: ArrayReport, body: str, *, is_open: bool) -> str:
    counts = array.to_dict()
    grid = array.metadata.grid
    shown = [
        ("Shape", _shape(grid.shape)),
        ("Shard shape" if counts["sharded"] else "Chunk shape", _shape(grid.chunk_shape)),
        ("Grid", _shape(grid.counts)),
        ("Data type", escaped(array.metadata.data_type)),
        ("Size", _size(array.bytes)),
    ]
    return (
        f'<details class="array"{" open" if is_open else ""}>'
        f"<summary><h3>{code(array.path or '/')}</h3>"
        f" <span>{escaped(_summary(array))}</span></summary>{facts(shown)}{body}</details>"
    )


def _summary(array: ArrayReport) -> str:
    allowed = " (allowed)" if array.missing_allowed else ""
    parts = [f"{len(array.present):,} of {array.metadata.grid.count:,} chunks present"]
    parts += [f"{len(array.missing):,} missing{allowed}"] if len(array.missing) else []
    parts += [f"{len(array.broken):,} broken"] if len(array.broken) else []
    return ", ".join(parts)


def _shape(shape: tuple[int, ...]) -> str:
    return " &times; ".join(f"{length:,}" for length in shape) or "scalar"


def _map(report: Report, array: ArrayReport, room: int) -> str:
    """The picture of an array with its legend, and the data for the script."""
    grid = array.metadata.grid
    if not grid.count:
        return ""
    absent = ChunkSet(grid.count, full=True) - array.present - array.missing
    chunks = dict(zip(KINDS, (array.broken, array.missing, absent), strict=True))
    drawn = ChunkMap(Layout.of(grid.counts), chunks)
    missing = "allowed" if array.missing_allowed else "missing"
    legend = [
        ("present", "present", len(array.present) - len(array.broken)),
        ("broken", "broken", len(array.broken)),
        (missing, "missing, allowed" if array.missing_allowed else "missing", len(array.missing)),
        ("absent", "absent, not expected", len(absent)),
    ]
    items = (
        f'<svg class="map {missing}" viewBox="0 0 10 10" width="16" height="16" aria-hidden="true">'
        f'<path class="{"missing" if kind == missing else kind}" d="M0 0h10v10h-10z"/></svg>'
        f" {escaped(name)}: {count:,}"
        for kind, name, count in legend
        if count
    )
    # The key of the first chunk ends with a zero for each dimension.
    first = "/".join(filter(None, (report.prefix, array.path, grid.numbered_key(0))))
    zeros = grid.separator.join("0" * len(grid.shape))
    data = {
        **drawn.data(room),
        "counts": grid.counts,
        "before": printable(first[: len(first) - len(zeros)]),
        "separator": grid.separator,
        "labels": [name for _, name, _ in legend],
    }
    # In a script element only "<" could end it.
    text = json.dumps(data).replace("<", "\\u003c")
    path = escaped(array.path or "/")
    note = ""
    if data["step"] > 1:
        note = (
            f" Zoomed in, {data['step']:,} consecutive chunks are one unit, which is shown as"
            " missing or broken if one of them is."
        )
    return (
        f'<figure class="map {missing}">{drawn.svg(f"Map of the chunks of {path}")}'
        f'<figcaption><ul class="legend">{"".join(f"<li>{item}</li>" for item in items)}</ul>'
        f'<p>{drawn.layout.caption} <span class="cell">{drawn.cell_text}</span>{note}</p>'
        "</figcaption>"
        f'<script type="application/json">{text}</script></figure>'
    )
