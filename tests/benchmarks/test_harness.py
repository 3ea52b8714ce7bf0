"""A small run of all benchmarks on one server: correct results, figures of every kind, no times."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from servers import S3Endpoint

from benchmarks.candidates import CANDIDATES, OBSTORE, THIS, ZARR_FSSPEC, ZARR_OBJECT
from benchmarks.catalogue import OPERATIONS
from benchmarks.document import document
from benchmarks.keeper import Keeper, WrongEffectError
from benchmarks.markdown import filled
from benchmarks.places import Place, place_on
from benchmarks.results import Comparison
from benchmarks.rounds import Settings, absent, compare
from benchmarks.scale import Scale
from benchmarks.worker import CandidateError, Run, Worker

ROOT = Path(__file__).parents[2]

SCALE = Scale(
    values=4,
    large_values=1,
    large_writes=2,
    ranges=5,
    keys=60,
    children=5,
    deleted=5,
    huge_mib=9,
    chunks=5,
    large_chunks=2,
    shards=2,
    slices=2,
    arrays=3,
)
SETTINGS = Settings(rounds=1, seconds=0.02, at_once=2, scale=SCALE)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """On the benchmarks' own server, with TLS."""
    with place_on("cheap") as place:
        yield place


@pytest.fixture(scope="module")
def comparisons(place: Place) -> list[Comparison]:
    pytest.importorskip("obstore")
    return compare(place, SETTINGS)


@pytest.fixture(scope="module")
def far_settings() -> Settings:
    few = {"operations": ("get-whole", "list"), "candidates": (THIS, OBSTORE)}
    return replace(SETTINGS, **few, rounds=2, latencies=(0.0, 1.0))


@pytest.fixture(scope="module")
def far(seaweedfs_endpoint: S3Endpoint, far_settings: Settings) -> list[Comparison]:
    pytest.importorskip("obstore")
    return compare(Place.on(seaweedfs_endpoint), far_settings)


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(THIS, SCALE) as running:
        yield running


def expected_to_miss(operation: str) -> set[str]:
    """Bare obstore where zarr is used, early releases of zarr where a method is newer."""
    zarr_store = pytest.importorskip("zarr.abc.store").Store
    missing = {OBSTORE} if OPERATIONS[operation].blocking else set()
    method = OPERATIONS[operation].method
    if method and not hasattr(zarr_store, method):
        missing |= {ZARR_FSSPEC, ZARR_OBJECT}
    return missing


@pytest.mark.slow
def test_every_candidate_is_right_at_every_operation(
    place: Place, comparisons: list[Comparison]
) -> None:
    assert [one.operation for one in comparisons] == list(OPERATIONS)
    present = set(CANDIDATES) - set(absent(place, SETTINGS))
    assert present >= {THIS, ZARR_FSSPEC, ZARR_OBJECT, OBSTORE}
    for one in comparisons:
        missing = expected_to_miss(one.operation)
        assert set(one.left_out) == missing, one.left_out
        expected = {n for n in present if CANDIDATES[n].takes_part(OPERATIONS[one.operation])}
        assert set(one.figures) == expected - missing


@pytest.mark.slow
def test_every_round_is_measured(comparisons: list[Comparison]) -> None:
    for one in comparisons:
        for figures in one.figures.values():
            assert len(figures.samples) == SETTINGS.rounds
            assert all(sample.calls >= 1 for sample in figures.samples)
            assert all(rate > 0 for rate in figures.rates)
            assert figures.gil_left is not None


@pytest.mark.slow
def test_a_latency_is_a_run_of_its_own(far: list[Comparison], far_settings: Settings) -> None:
    compared = [(one.latency_ms, one.operation) for one in far]
    names = far_settings.operations
    assert compared == [(latency, name) for latency in (0.0, 1.0) for name in names]
    # Through the proxy too, every candidate has all rounds.
    rounds = {len(figures.samples) for one in far for figures in one.figures.values()}
    assert rounds == {far_settings.rounds} == {2}


@pytest.mark.slow
def test_requests_are_counted(comparisons: list[Comparison]) -> None:
    requests = {one.operation: one.figures for one in comparisons}
    for name in ("get-whole", "get-range", "exists", "get-missing", "set-small"):
        assert requests[name][THIS].requests_per_call == 1, name
    # Without a directory cache.
    assert requests["list-dir"][ZARR_FSSPEC].requests_per_call == 1
    # Each chunk, and the array's metadata.
    assert requests["read-array"][ZARR_OBJECT].requests_per_call >= SCALE.chunks + 1


@pytest.mark.slow
def test_memory_is_measured(comparisons: list[Comparison]) -> None:
    grown = {one.operation: one.figures[THIS].grown_bytes for one in comparisons}
    if platform.system() != "Linux":
        assert set(grown.values()) == {None}
        return
    huge = grown["get-huge"]
    assert huge is not None
    assert huge > SCALE.huge_mib * 2**20 / 2


@pytest.mark.slow
def test_the_document_has_its_fields(place: Place, comparisons: list[Comparison]) -> None:
    found = document("cheap", place, SETTINGS, comparisons, absent(place, SETTINGS))
    assert found["tls"] is True
    text = json.dumps(found)
    assert json.loads(text) == found
    assert {"format", "date", "server", "python", "cpus", "packages", "settings"} <= set(found)
    assert {"fsspec-store", "zarr", "obstore", "s3fs"} <= set(found["packages"])
    (run,) = found["runs"]
    assert run["latency_ms"] == 0
    assert [one["operation"] for one in run["operations"]] == list(OPERATIONS)
    for one in run["operations"]:
        check_fields(one)
    assert {goal["operation"] for goal in found["goals"]} <= set(OPERATIONS)
    assert all(isinstance(goal["reached"], bool) for goal in found["goals"])
    endpoint = place.endpoint
    assert isinstance(endpoint, S3Endpoint)
    for secret in (platform.node(), str(Path.home()), str(ROOT), endpoint.key, endpoint.secret):
        assert f'"{secret}' not in text


@pytest.mark.slow
def test_the_tables_of_the_documentation_are_written(
    place: Place, comparisons: list[Comparison]
) -> None:
    found = json.loads(
        json.dumps(document("cheap", place, SETTINGS, comparisons, absent(place, SETTINGS)))
    )
    names = set()
    for file in ("README.md", "docs/performance.md"):
        before = (ROOT / file).read_text()
        rows = [{"name": "copy", "mib_per_second": 1, "cpu_ms_each": 2.5}] * 9
        text = filled(before, [found, {**found, "server": "other"}], rows)
        assert text.count("<!-- figures:") == before.count("<!-- figures:")
        for name, table in re.findall(r"<!-- figures: (\w+) -->\n(.*?)\n<!--", text, re.DOTALL):
            names.add(name)
            # Without the clients for large values their table has a head only.
            assert table.count("\n") >= {"conditions": 0, "large": 3}.get(name, 8), name
    assert names == {
        "conditions",
        "summary",
        "rates",
        "cpu",
        "large",
        "runs",
        "goals",
        "ceiling",
    }


def check_fields(operation: dict[str, Any]) -> None:
    assert set(operation["ratios"]) == set(operation["candidates"]) - {THIS}
    for ratio in operation["ratios"].values():
        assert ratio["least"] <= ratio["low"] <= ratio["median"] <= ratio["high"] <= ratio["most"]
        assert ratio["of_medians"] > 0
    for figures in operation["candidates"].values():
        assert len(figures["per_second"]["rounds"]) == SETTINGS.rounds
        assert len(figures["cpu_us_per_unit"]["rounds"]) == SETTINGS.rounds
        assert len(figures["loop_us_per_unit"]["rounds"]) == SETTINGS.rounds
        assert figures["loop_busy_share"] >= 0
        assert 0 <= figures["gil_left_share"] <= 1
        assert figures["requests_per_call"] > 0
        assert figures["units_per_call"] > 0
        assert "peak_growth_bytes" in figures


@pytest.mark.slow
def test_plots_are_drawn(
    place: Place, far: list[Comparison], far_settings: Settings, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")
    from benchmarks.plots import draw

    found = document("seaweedfs", place, far_settings, far, absent(place, far_settings))
    files = draw(found, tmp_path / "new")
    assert [file.name for file in files] == ["throughput.svg", "cpu.svg", "latency.svg"]
    for file in files:
        assert "</svg>" in file.read_text()
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in draw(found, tmp_path / "new")] == before


def test_a_wrong_result_is_detected(seaweedfs_endpoint: S3Endpoint, worker: Worker) -> None:
    place = Place.on(seaweedfs_endpoint)
    with Keeper(place, SCALE) as keeper:
        keeper.fill([OPERATIONS["get-whole"]])
    worker.check("get-whole", place)
    with closing(seaweedfs_endpoint.client()) as client:
        client.put_object(Bucket=place.bucket, Key="values/c/1", Body=bytes(16 * 1024))
    with pytest.raises(CandidateError, match="wrong result"):
        worker.check("get-whole", place)


def test_a_wrong_effect_is_found_out(seaweedfs_endpoint: S3Endpoint) -> None:
    operation = OPERATIONS["delete-dir"]
    with Keeper(Place.on(seaweedfs_endpoint), SCALE) as keeper:
        keeper.look(operation)
        keeper.prepare(operation)
        with pytest.raises(WrongEffectError, match="delete-dir"):
            keeper.look(operation)


def test_the_failure_of_a_candidate_is_reported_and_not_fatal(
    seaweedfs_endpoint: S3Endpoint, worker: Worker
) -> None:
    place = Place.on(seaweedfs_endpoint)
    with pytest.raises(CandidateError, match="wrong result"):
        worker.check("exists", place)
    with pytest.raises(CandidateError, match="KeyError"):
        worker.run(Run("no such operation", place, 1, 0, 1, from_little=False))
    assert worker.check("exists-missing", place).calls == 3


@pytest.mark.slow
def test_the_command_writes_its_document(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(file)]
    command += ["--rounds", "1", "--seconds", "0.02", "--candidates", THIS, ZARR_FSSPEC]
    done = subprocess.run(
        [*command, "--only", "get-missing", "exists-missing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "get, missing key" in done.stdout
    assert "goals reached" in done.stdout
    found = json.loads(file.read_text())
    assert [one["operation"] for one in found["runs"][0]["operations"]] == [
        "get-missing",
        "exists-missing",
    ]


@pytest.mark.parametrize(
    "wrong", [["--latency", "-1"], ["--latency", "5,5"], ["--rounds", "0"], ["--only", "nothing"]]
)
def test_the_command_refuses_what_makes_no_sense(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_the_ceiling_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ceiling", "--seconds", "0.01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("recv_into in ") == 6


@pytest.mark.slow
def test_a_long_listing_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/long_listing.py", "--keys", "50", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "s3fs takes" in done.stdout
