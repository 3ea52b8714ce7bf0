"""Writes the figures of runs into the tables of README.md and docs/performance.md.

    python -m benchmarks.markdown cheap.json newer.json seaweedfs.json --ceiling ceiling.json

The files are of `python -m benchmarks --json` and `python -m benchmarks.ceiling --json`. The tables
are of the first one. `runs` compares it with the others, which may be of other servers or of
another OpenSSL, and so does `goals` if the server is the same. A table is between two lines of the
Markdown file: ``<!-- figures: NAME -->`` and ``<!-- figures: end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.candidates import CRT, OBSTORE, S3DLIO, THIS, ZARR_FSSPEC, ZARR_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_ROOT = Path(__file__).parents[1]
_FILES = (_ROOT / "README.md", _ROOT / "docs" / "performance.md")
_TABLE = re.compile(r"(<!-- figures: (\w+) -->)\n.*?(<!-- figures: end -->)", re.DOTALL)

_NAMES = {
    THIS: "this store",
    ZARR_FSSPEC: "zarr `FsspecStore`",
    ZARR_OBJECT: "zarr `ObjectStore`",
    OBSTORE: "obstore",
    CRT: "awscrt",
    S3DLIO: "s3dlio",
}
_STORES = (THIS, ZARR_FSSPEC, ZARR_OBJECT)
_LARGE = (ZARR_OBJECT, OBSTORE, CRT, S3DLIO)

#: What zarr calls when it reads and writes arrays, and whole arrays.
_SUMMARY = (
    "get-whole",
    "get-range",
    "ranges-of-key",
    "get-missing",
    "set-small",
    "get-4m",
    "set-4m",
    "read-array",
    "read-large-array",
    "write-array",
)

Document: TypeAlias = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.markdown", description=__doc__)
    parser.add_argument("documents", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--ceiling", type=Path, required=True, metavar="FILE")
    given = parser.parse_args(arguments)
    documents = [json.loads(file.read_text()) for file in given.documents]
    rows = json.loads(given.ceiling.read_text())
    for file in _FILES:
        file.write_text(filled(file.read_text(), documents, rows))


def filled(text: str, documents: Sequence[Document], rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown text with its tables. `rows` are of `benchmarks.ceiling`."""
    tables: dict[str, Callable[[], Iterable[str]]] = {
        "conditions": lambda: [conditions(documents[0])],
        "summary": lambda: summary(documents[0]),
        "rates": lambda: rates(documents[0]),
        "cpu": lambda: cpu(documents[0]),
        "large": lambda: large(documents[0]),
        "runs": lambda: runs(documents),
        "goals": lambda: goals(documents),
        "ceiling": lambda: ceiling(rows),
    }

    def table(found: re.Match[str]) -> str:
        return "\n".join([found[1], "", *tables[found[2]](), "", found[3]])

    return _TABLE.sub(table, text)


def conditions(document: Document) -> str:
    """One sentence about a run."""
    packages, cores = document["packages"], document["cores"]
    names = ("zarr", "s3fs", "obstore", "awscrt", "s3dlio")
    versions = ", ".join(f"{name} {packages[name]}" for name in names if name in packages)
    return (
        f"Server `{document['server']}` over {'TLS' if document['tls'] else 'plain HTTP'} on "
        f"{cores['server']} of {document['cpus']} cores and the client on {cores['client']}; "
        f"Python {document['python']}, {document['openssl']}, {versions}; {document['date']}."
    )


def summary(document: Document) -> Iterator[str]:
    """The operations that zarr calls: rates, and CPU beside zarr's faster store."""
    yield from _head(
        "", *(_NAMES[peer] for peer in _STORES[1:]), "CPU, us: this store, `ObjectStore`"
    )
    for one in _operations(document, _SUMMARY):
        us = (_us(one, name, "cpu_us_per_unit") for name in (THIS, ZARR_OBJECT))
        yield _row(_title(one), *(_times(one, peer) for peer in _STORES[1:]), ", ".join(us))


def rates(document: Document) -> Iterator[str]:
    """All operations: rates of this store, and as multiples of its peers' rates."""
    peers = (ZARR_FSSPEC, ZARR_OBJECT, OBSTORE)
    yield from _head("", "this store, a second", "least-most", *(_NAMES[peer] for peer in peers))
    for one in _operations(document):
        rate = one["candidates"][THIS]["per_second"]
        spread = f"{_number(rate['least'])}-{_number(rate['most'])}"
        times = (_times(one, peer) for peer in peers)
        yield _row(_title(one), _number(rate["median"]), spread, *times)


def cpu(document: Document) -> Iterator[str]:
    """All operations: CPU in all, CPU of the event loop's thread, and the GIL."""
    yield from _head("this store, `FsspecStore`, `ObjectStore`:", "CPU, us", "loop, us", "GIL left")
    for one in _operations(document):
        yield _row(
            _title(one),
            ", ".join(_us(one, name, "cpu_us_per_unit") for name in _STORES),
            ", ".join(_us(one, name, "loop_us_per_unit") for name in _STORES),
            ", ".join(_gil(one, name) for name in _STORES),
        )


def large(document: Document) -> Iterator[str]:
    """Large values: rates and CPU of this store, and the rates of all clients for them."""
    yield from _head("", "this store, MB a second", *(_NAMES[peer] for peer in _LARGE))
    for one in _operations(document):
        if CRT in one["candidates"] or S3DLIO in one["candidates"]:
            megabytes = 1.0 if one["unit"] == "MB" else 4 * 2**20 / 1e6
            rate = one["candidates"][THIS]["per_second"]["median"] * megabytes
            yield _row(_title(one), _number(rate), *(_times(one, peer) for peer in _LARGE))


def runs(documents: Sequence[Document]) -> Iterator[str]:
    """All operations: this store's rate as a multiple of `ObjectStore`'s, in each run."""
    yield from _head(f"times {_NAMES[ZARR_OBJECT]}", *map(_run, documents))
    others = [{one["operation"]: one for one in _operations(document)} for document in documents]
    for one in _operations(documents[0]):
        found = (other.get(one["operation"]) for other in others)
        yield _row(_title(one), *("" if of is None else _times(of, ZARR_OBJECT) for of in found))


def goals(documents: Sequence[Document]) -> Iterator[str]:
    """Each goal, and its figure in each run on the server of the first one."""
    same = [one for one in documents if one["server"] == documents[0]["server"]]
    yield from _head("goal", "bound", *map(_run, same))
    found = [{_goal(goal): _figure(goal) for goal in one["goals"]} for one in same]
    for goal in documents[0]["goals"]:
        of, peer = goal["of"], _NAMES.get(goal["peer"], "")
        bound = f"{'at least' if of == 'rate' else 'at most'} {goal['bound']:g}"
        title = f"{goal['title']}: {of} {f'beside {peer}' if peer else ''}".rstrip()
        yield _row(title, bound, *(figures.get(_goal(goal), "") for figures in found))


def _run(document: Document) -> str:
    """What differs between runs."""
    # "OpenSSL 3.0.19 27 Jan 2026"
    transport = " ".join(document["openssl"].split()[:2]) if document["tls"] else "plain HTTP"
    return f"{document['server']}, {transport}"


def _goal(goal: dict[str, Any]) -> tuple[str, str, str]:
    return goal["title"], goal["of"], goal["peer"]


def _figure(goal: dict[str, Any]) -> str:
    return f"{goal['figure']:.3g}{'' if goal['reached'] else ', missed'}"


def ceiling(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The steps of a read of 4 MiB without a library."""
    yield from _head("", "MiB a second", "CPU, ms each 4 MiB")
    for row in rows:
        yield _row(row["name"], f"{row['mib_per_second']:,}", f"{row['cpu_ms_each']:.2f}")


def _operations(document: Document, names: Sequence[str] = ()) -> Iterable[dict[str, Any]]:
    """The operations at which this store was measured without latency."""
    near = next(run for run in document["runs"] if not run["latency_ms"])
    found = [one for one in near["operations"] if THIS in one["candidates"]]
    return [one for one in found if one["operation"] in names] if names else found


def _title(one: dict[str, Any]) -> str:
    counted = one["unit"] if one["unit"] != "operation" else ""
    return f"{one['title']}, each {counted}" if counted else str(one["title"])


def _times(one: dict[str, Any], peer: str) -> str:
    ratio = one["ratios"].get(peer)
    return "" if ratio is None else f"{ratio['of_medians']:.2f}x"


def _us(one: dict[str, Any], name: str, figure: str) -> str:
    found = one["candidates"].get(name)
    return "-" if found is None else _number(found[figure]["median"])


def _gil(one: dict[str, Any], name: str) -> str:
    share = one["candidates"].get(name, {}).get("gil_left_share")
    return "-" if share is None else f"{share:.0%}"


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*("---" for _ in names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(number: float) -> str:
    """Two digits, and whole from ten on."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


if __name__ == "__main__":
    main()
