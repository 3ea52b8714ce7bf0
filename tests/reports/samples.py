"""Reports of damaged data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from dataset.places import check, new_store, put

from fsspec_store.dataset import ArrayReport, ChunkSet, Report, parse_metadata
from fsspec_store.dataset.findings import Findings
from fsspec_store.transfer import Failure, Result

#: A name of an array, and keys beside it, that must stay text.
HOSTILE_PATH = '<img src=x onerror="window.attacked=1">'
HOSTILE_KEYS = (
    "<script>window.attacked=1<script>",
    "a\" onmouseover='window.attacked=1",
    "\u202egnp.exe",
    "\x1b[31m\nline",
    "k" * 900,
)
HOSTILE_URL = "https://host/\"><script>window.attacked=1</script>/&amp;'"


def metadata(shape: Iterable[int], chunks: Iterable[int], **fields: Any) -> dict[str, Any]:
    """The document of an array of bytes without compression."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        **fields,
    }


def array_report(
    path: str,
    counts: Iterable[int],
    missing: npt.ArrayLike = (),
    broken: npt.ArrayLike = (),
    *,
    absent: npt.ArrayLike = (),
    missing_allowed: bool = False,
    **fields: Any,
) -> ArrayReport:
    """An array with chunks of one item, some of which are damaged."""
    counts = list(counts)
    document = metadata(counts, [1] * len(counts), **fields)
    parsed: Any = parse_metadata("zarr.json", json.dumps(document).encode())
    sets = []
    for numbers in (missing, broken, absent):
        sets.append(ChunkSet(parsed.grid.count))
        sets[-1].add(np.asarray(numbers, np.int64))
    lost, damaged, unneeded = sets
    present = ChunkSet(parsed.grid.count, full=True) - lost - unneeded
    size = len(present)
    return ArrayReport(path, parsed, present, lost, damaged, missing_allowed, size)


def report_of(*arrays: ArrayReport) -> Report:
    """A report with the findings of the arrays."""
    findings = Findings()
    for array in arrays:
        for kind, chunks in (("missing_chunk", array.missing), ("chunk_size", array.broken)):
            if array.missing_allowed:
                continue
            for number in chunks:
                key = f"{array.path}/{array.metadata.grid.numbered_key(number)}"
                findings.add(kind, array.path, key)  # type: ignore[arg-type]
    keys = sum(len(array.present) for array in arrays)
    return Report("", 3, 1, arrays, findings.sorted(), keys, keys)


def hostile_report() -> Report:
    """The check of a data set whose keys are an attack."""
    store = new_store()
    put(store, "zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
    put(store, f"{HOSTILE_PATH}/zarr.json", json.dumps(metadata([4, 4], [2, 2])).encode())
    put(store, f"{HOSTILE_PATH}/c/0/1", b"1234")
    for key in HOSTILE_KEYS:
        put(store, key, b"")
    report = check(store)
    # Ends the script element that has the data of its map.
    ending = array_report("</script><script>window.attacked=1</script>", (2, 2), [0])
    return replace(report, arrays=(*report.arrays, ending))


def hostile_result() -> Result:
    """A transfer in which the keys of an attack failed."""
    result = Result(copied=3, copied_bytes=4096, seconds=2.0)
    for key in HOSTILE_KEYS:
        result.add_failure(Failure(key, "copy", f"OSError: cannot read {key!r} of <b>this</b>"))
    return result
