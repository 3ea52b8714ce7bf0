from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from forking import in_forked_child

from fsspec_store._runtime.forks import free_in_child, in_child

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot: no processes are forked here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
def test_a_lock_that_another_thread_holds_is_free_in_the_child(kind: Any) -> None:
    lock = free_in_child(kind())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.acquire).result()
        try:
            assert in_forked_child(lambda: bool(lock.acquire(timeout=10)))
            # The parent's is still held.
            assert not lock.acquire(blocking=False)
        finally:
            pool.submit(lock.release).result()


def test_state_is_reset_in_the_child_alone_once_locks_are_free() -> None:
    lock = free_in_child(threading.Lock())
    reset_with: list[bool] = []
    in_child(lambda: reset_with.append(lock.locked()))
    with lock:
        assert in_forked_child(lambda: reset_with == [False])
    assert reset_with == []
