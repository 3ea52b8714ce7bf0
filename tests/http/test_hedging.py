from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from fsspec_store._core.byte_requests import ByteRequest
from fsspec_store._http.hedging import HEAD, WHOLE, Hedging, Read

MIB = 2**20
READS: list[Read] = [
    HEAD,
    WHOLE,
    RangeByteRequest(5, 10),
    OffsetByteRequest(5),
    SuffixByteRequest(5),
]


def observe(
    hedging: Hedging, count: int = 100, seconds: float = 0.1, read: Read = HEAD, size: int = 5
) -> None:
    for _ in range(count):
        hedging.succeeded(read, size, seconds, was_slow=False)


def test_every_kind_of_read_is_known() -> None:
    assert {type(read) for read in READS if not isinstance(read, str)} == set(get_args(ByteRequest))


@pytest.mark.parametrize("read", READS, ids=repr)
def test_a_read_is_slow_after_the_percentile_of_enough_reads(read: Read) -> None:
    hedging = Hedging(1.0)
    observe(hedging, 49, read=read)
    assert hedging.delay(read) is None
    # 5 of 100 take longer.
    observe(hedging, 46, read=read)
    observe(hedging, 5, seconds=0.5, read=read)
    assert hedging.delay(read) == 0.5
    observe(hedging, 10, read=read)
    assert hedging.delay(read) == 0.1


def test_the_delay_follows_the_recent_reads() -> None:
    hedging = Hedging(1.0)
    observe(hedging, 1000)
    observe(hedging, 200, seconds=0.7)
    assert hedging.delay(HEAD) == 0.7


def test_kinds_are_observed_separately() -> None:
    hedging = Hedging(1.0)
    observe(hedging, read=WHOLE)
    assert hedging.delay(HEAD) is None
    assert hedging.delay(RangeByteRequest(0, 5)) is None
    observe(hedging, read=SuffixByteRequest(3))
    # Ranges of about the same size.
    assert hedging.delay(RangeByteRequest(0, 5)) == 0.1
    assert hedging.delay(RangeByteRequest(0, 8 * MIB)) is None


def test_sizes_are_observed_separately() -> None:
    hedging = Hedging(1.0)
    observe(hedging, read=RangeByteRequest(0, 100))
    observe(hedging, read=RangeByteRequest(0, 8 * MIB), seconds=2.0)
    assert hedging.delay(RangeByteRequest(0, 5)) == 0.1
    assert hedging.delay(RangeByteRequest(MIB, 10 * MIB)) == 2.0
    # A range up to the end may have either size.
    assert hedging.delay(OffsetByteRequest(0)) == 2.0


def test_a_whole_value_is_slow_if_it_is_slow_for_every_recent_size() -> None:
    hedging = Hedging(1.0)
    observe(hedging, read=WHOLE, size=8 * MIB, seconds=2.0)
    observe(hedging, read=WHOLE, size=100)
    assert hedging.delay(WHOLE) == 2.0
    observe(hedging, 1000, read=WHOLE, size=100)
    assert hedging.delay(WHOLE) == 0.1


def test_a_fast_service_is_not_slow_within_the_jitter_of_the_loop() -> None:
    hedging = Hedging(1.0)
    observe(hedging, seconds=0.0001)
    assert hedging.delay(HEAD) == 0.01


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 1.0])
def test_successes_earn_a_share(share: float) -> None:
    hedging = Hedging(share)
    assert not hedging.take()
    observe(hedging, round(1 / share) + 1)
    assert hedging.take()
    assert not Hedging(share).take()


def test_few_hedges_are_saved_up() -> None:
    hedging = Hedging(1.0)
    observe(hedging, 10_000)
    assert [hedging.take() for _ in range(11)] == [True] * 10 + [False]


@pytest.mark.parametrize(("throttled", "successes"), [(False, 2), (True, 6)])
def test_a_failure_takes_the_saved_hedges_away(throttled: bool, successes: int) -> None:
    hedging = Hedging(1.0)
    observe(hedging)
    hedging.failed(throttled=throttled)
    observe(hedging, successes - 1)
    assert not hedging.take()
    observe(hedging, 1)
    assert hedging.take()


def test_no_hedges_while_many_reads_are_slow() -> None:
    hedging = Hedging(1.0)
    observe(hedging)
    granted = []
    for _ in range(20):
        hedging.slow()
        granted.append(hedging.take())
    assert granted == [True] * 5 + [False] * 15
    # Slow reads that succeed earn hedges and are no evidence of a fast service.
    for _ in range(100):
        hedging.succeeded(HEAD, 0, 3.0, was_slow=True)
    assert not hedging.take()
    observe(hedging, 20)
    assert hedging.take()


EVENTS = st.one_of(
    st.tuples(st.just("succeeded"), st.floats(0, 10), st.booleans()),
    st.tuples(st.just("take")),
    st.tuples(st.just("slow")),
    st.tuples(st.just("failed"), st.booleans()),
)


@given(st.floats(0.001, 1), st.lists(EVENTS, max_size=300))
def test_hedges_are_at_most_the_share_of_the_successes(
    share: float, events: list[tuple[object, ...]]
) -> None:
    hedging = Hedging(share)
    successes = hedges = since_failure = 0
    for name, *arguments in events:
        if name == "succeeded":
            seconds, was_slow = arguments
            hedging.succeeded(WHOLE, 0, float(str(seconds)), was_slow=bool(was_slow))
            successes += 1
            since_failure += 1
        elif name == "slow":
            hedging.slow()
        elif name == "failed":
            hedging.failed(throttled=bool(arguments[0]))
            since_failure = 0
        elif hedging.take():
            hedges += 1
            assert since_failure * share >= 1 - 1e-9
        else:
            continue
        assert hedges <= successes * share + 1e-9
