"""What the benchmarks make of their measurements, and how they measure: no server."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks import contents, tables
from benchmarks.candidates import CANDIDATES, OBSTORE, THIS, ZARR_FSSPEC, ZARR_OBJECT
from benchmarks.catalogue import OPERATIONS
from benchmarks.gil import gil_left
from benchmarks.goals import HTTP_GOALS, TLS_GOALS, outcomes
from benchmarks.measuring import Sample, drive, measured, seconds_of_this_loop
from benchmarks.operation import plain
from benchmarks.results import Comparison, Figures, Spread
from benchmarks.scale import FULL, LARGE, QUICK, Scale


def figures(*seconds: float, cpu: float = 0.001, amount: float = 1) -> Figures:
    samples = [Sample(10, each, cpu, cpu / 4, 1000 * turn) for turn, each in enumerate(seconds)]
    return Figures(1.0, amount, samples)


def comparison(operation: str = "get-whole", latency_ms: float = 0, **named: Figures) -> Comparison:
    names = {"this": THIS, "fsspec": ZARR_FSSPEC, "rust": ZARR_OBJECT, "bare": OBSTORE}
    found = {names[name]: of for name, of in named.items()}
    return Comparison(operation, operation, "operation", latency_ms, found)


def test_rates_are_of_units() -> None:
    found = figures(2.0, 5.0, amount=100)
    assert found.rates == [500, 200]
    assert found.cpu_us == [1, 1]
    assert found.loop_us == [0.25, 0.25]
    assert found.loop_shares == [0.000125, 0.00005]
    assert found.grown_bytes == 1000
    found.warming = Sample(1, 1, 1, 1, 5000)
    assert found.grown_bytes == 5000


def test_ratios_are_of_the_same_round() -> None:
    # The second round was slow for both.
    one = comparison(this=figures(1, 10, 1), fsspec=figures(2, 40, 3))
    assert one.ratio(THIS, ZARR_FSSPEC) == Spread(3, 2.5, 3.5, 2, 4)
    assert one.ratio_of_medians(THIS, ZARR_FSSPEC) == 3


def test_rounds_that_a_candidate_sat_out_are_left_out() -> None:
    one = comparison(this=figures(1, 1, 1), fsspec=figures(4))
    assert one.ratio(THIS, ZARR_FSSPEC) == Spread(4, 4, 4, 4, 4)


def test_who_was_not_measured_has_no_ratio() -> None:
    one = comparison(this=figures(1))
    assert one.ratio(THIS, OBSTORE) is None
    assert one.ratio_of_medians(THIS, OBSTORE) is None
    assert one.cpu_ratio_of_medians(THIS, OBSTORE) is None


def test_goals_are_reached_or_missed() -> None:
    near = comparison(
        this=figures(1, cpu=0.002),
        fsspec=figures(8),
        rust=figures(1.1, cpu=0.003),
        bare=figures(9, cpu=0.004),
    )
    far = comparison(latency_ms=5, this=figures(9), fsspec=figures(1))
    assert _reached([far, near], tls=True) == {
        (ZARR_FSSPEC, "rate"): (True, 8),
        (ZARR_OBJECT, "rate"): (False, pytest.approx(1.1)),
        (ZARR_OBJECT, "CPU"): (True, pytest.approx(2 / 3)),
    }
    assert _reached([far, near], tls=False)[OBSTORE, "CPU"] == (True, 0.5)
    lines = list(tables.goals(outcomes([near], tls=True)))
    assert [line.split()[0] for line in lines] == ["reached", "MISSED", "reached", "2"]


def test_goals_bound_the_thread_of_the_event_loop() -> None:
    # 10 calls with 4 ms on the loop's thread, in 1 s and 0.1 s.
    slow, fast = figures(1, cpu=0.016), figures(0.1, cpu=0.016)
    assert _reached([comparison("get-4m", this=slow)], tls=True) == {("", "loop ms"): (True, 0.4)}
    found = _reached([comparison("get-huge", this=slow)], tls=True)
    assert found == {("", "loop %"): (True, pytest.approx(0.4))}
    found = _reached([comparison("get-huge", this=fast)], tls=True)
    assert found == {("", "loop %"): (False, pytest.approx(4))}


def _reached(
    comparisons: list[Comparison], *, tls: bool
) -> dict[tuple[str, str], tuple[bool, float]]:
    found = outcomes(comparisons, tls=tls)
    return {(one.goal.peer, one.goal.of): (one.reached, one.figure) for one in found}


def test_goals_are_of_what_there_is() -> None:
    for goals in (HTTP_GOALS, TLS_GOALS):
        assert {goal.operation for goal in goals} <= set(OPERATIONS)
        assert {goal.peer for goal in goals} <= {*CANDIDATES, ""}
        assert len({(goal.operation, goal.peer, goal.of) for goal in goals}) == len(goals)


def test_a_table_has_a_line_for_each_candidate() -> None:
    one = comparison(this=figures(1), fsspec=figures(2))
    one.left_out[OBSTORE] = "no server"
    lines = tables.block(one).splitlines()
    assert lines[0] == "get-whole, operations"
    assert [line.split()[0] for line in lines[1:]] == ["fsspec-store", "zarr", "obstore"]
    assert "2.00x (2.00-2.00)" in lines[2]
    assert lines[3].endswith("left out: no server")
    assert max(map(len, lines)) <= 131


async def test_work_runs_concurrently_and_as_often_as_configured() -> None:
    turns: list[int] = []
    at_once = most = 0

    async def call(turn: int) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        turns.append(turn)
        at_once -= 1

    assert await drive(call, calls=10, seconds=0, at_once=3) == 10
    assert sorted(turns) == list(range(10))
    assert most == 3


async def test_work_for_some_seconds_is_done_at_least_once_by_each() -> None:
    async def call(turn: int) -> None:
        await asyncio.sleep(0)

    assert await drive(call, calls=None, seconds=0, at_once=4) == 4


async def test_a_failing_call_ends_the_work() -> None:
    async def call(turn: int) -> None:
        raise LookupError(turn)

    with pytest.raises(ExceptionGroup) as failed:
        await drive(call, calls=5, seconds=0, at_once=2)
    assert isinstance(failed.value.exceptions[0], LookupError)


async def test_cpu_and_memory_are_of_the_work() -> None:
    kept: list[bytes] = []

    async def work() -> int:
        kept.append(b"x" * (64 << 20))
        return 7

    sample = await measured(work, seconds_of_this_loop, from_little=True)
    assert sample.calls == 7
    assert sample.seconds > 0
    assert sample.loop_seconds >= 0
    assert sample.cpu_seconds >= 0
    assert sample.grown_bytes is None or sample.grown_bytes >= 60 << 20


async def test_work_in_python_leaves_less_of_the_gil_than_waiting() -> None:
    async def compute() -> None:
        await asyncio.to_thread(sum, iter(range(3_000_000)))

    assert await gil_left(lambda: asyncio.sleep(0.1), 0.1) > await gil_left(compute, 0.1) > 0


def test_answers_are_compared_as_plain_objects() -> None:
    assert plain(["b", "a"]) == ["a", "b"]
    assert plain([memoryview(b"b"), b"a"]) == [b"b", b"a"]
    assert plain(True) is True
    assert plain(None) is None


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_the_listed_keys_are_as_many_as_the_titles_state(scale: Scale) -> None:
    keys = contents.listed_keys(scale)
    assert len(set(keys)) == scale.keys
    assert len(contents.listed_children(scale)) == 2 * scale.children
    assert contents.ranges(scale)[-1][1] <= LARGE


def test_titles_speak_of_the_scale() -> None:
    titles = {name: operation.title_at(FULL) for name, operation in OPERATIONS.items()}
    assert titles["list"] == "list 10,000 keys"
    assert len(set(titles.values())) == len(OPERATIONS)
    assert not any("{" in title for title in titles.values())
