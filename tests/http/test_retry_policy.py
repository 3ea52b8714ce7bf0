from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._http.retry_policy import (
    TRANSIENT,
    RetryDecision,
    RetryPolicy,
    retry_decision_of_status,
)


@given(
    st.floats(0.1, 1000),
    st.integers(0, 50),
    st.integers(1, 60),
    st.floats(0, 3000),
    st.floats(0, 60),
)
def test_no_attempt_starts_later_than_twice_the_timeout(
    timeout: float, retries: int, retry: int, elapsed: float, after: float
) -> None:
    policy = RetryPolicy(timeout, retries)
    wait = policy.wait_before(retry, RetryDecision(after=after), elapsed)
    if wait is not None:
        assert retry <= retries
        assert elapsed + wait <= 2 * timeout
        assert wait >= after


def test_waits_grow_to_a_bound_and_vary() -> None:
    policy = RetryPolicy(timeout=1000, retries=100)
    waits = [policy.wait_before(retry, TRANSIENT, 0) for retry in range(1, 20)]
    for retry, wait in enumerate(waits, 1):
        max_wait = min(0.1 * 2 ** (retry - 1), 5)
        assert wait is not None
        assert max_wait / 2 <= wait <= max_wait
    assert len({policy.wait_before(1, TRANSIENT, 0) for _ in range(20)}) > 1


def test_a_large_number_of_retries() -> None:
    assert RetryPolicy(timeout=1000, retries=5000).wait_before(5000, TRANSIENT, 0) is not None


def test_transfer_timeout() -> None:
    assert RetryPolicy(timeout=5).transfer_timeout(0) == 5
    assert RetryPolicy(timeout=5).transfer_timeout(2**20) == 21
    assert RetryPolicy(timeout=5).transfer_timeout(2**20, 2**16) == 37


def test_no_wait_after_the_last_retry() -> None:
    assert RetryPolicy(retries=2).wait_before(2, TRANSIENT, 0) is not None
    assert RetryPolicy(retries=2).wait_before(3, TRANSIENT, 0) is None
    assert RetryPolicy(retries=0).wait_before(1, TRANSIENT, 0) is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 0}, ValueError),
        ({"timeout": -1.0}, ValueError),
        ({"timeout": float("inf")}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": True}, TypeError),
        ({"timeout": None}, TypeError),
        ({"retries": -1}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"retries": True}, TypeError),
    ],
    ids=repr,
)
def test_invalid_options_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(error, match=name):
        RetryPolicy(**options)


@pytest.mark.parametrize(
    "status", [200, 301, 304, 400, 401, 403, 404, 409, 412, 416, 499, 501, 505, 508, 511, 600]
)
def test_permanent_statuses(status: int) -> None:
    assert retry_decision_of_status(status, {"retry-after": "1"}) is None


@pytest.mark.parametrize(
    ("status", "throttled"),
    [
        *[(status, False) for status in (408, 425, 500, 502, 504, 507)],
        *[(status, True) for status in (429, 503, 509, 529)],
        # Of proxies and CDNs, not in an RFC.
        *[(status, False) for status in (520, 521, 522, 523, 524, 530, 561, 598, 599)],
    ],
)
def test_transient_statuses(status: int, throttled: bool) -> None:
    assert retry_decision_of_status(status, {}) == RetryDecision(throttled=throttled)


def test_retry_after() -> None:
    def after(value: str) -> float | None:
        decision = retry_decision_of_status(503, {"retry-after": value})
        assert decision is not None
        return decision.after

    assert after("7") == 7
    assert after("0.5") == 0.5
    assert after("-3") == 0
    for none in ("soon", "nan", "inf", "1e999", "1_0", "0x10", "\u0663", ""):
        assert after(none) is None
    # Longer than any policy waits.
    assert after("9" * 5000) == float("inf")
    assert RetryPolicy().wait_before(1, RetryDecision(after=float("inf")), 0) is None
    assert after("Fri, 31 Dec 9999 23:59:59 GMT") is not None
    assert after("Mon, 01 Jan 99999999999 00:00:00 GMT") is None
    now = datetime.now(UTC)
    assert after(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0
    later = after(format_datetime(now + timedelta(hours=1), usegmt=True))
    assert later is not None
    assert 3500 < later <= 3600
