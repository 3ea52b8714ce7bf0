"""How much of the GIL some work leaves to other threads of its process.

A thread counts in pure Python, first alone and then during the work. What it counts during the
work, as a share of what it counts alone in the same time, is what the work leaves. The time for
which the thread waits for a CPU core is subtracted, on systems that state it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cores import on_all_cores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: The thread counts alone several times, because other processes disturb it.
_ALONE_ROUNDS = 3


async def gil_left(work: Callable[[], Awaitable[object]], alone_seconds: float) -> float:
    """The share of the GIL that the work leaves: 1 is all of it."""
    with on_all_cores():
        alone = [
            await _count_during(lambda: asyncio.sleep(alone_seconds / _ALONE_ROUNDS))
            for _ in range(_ALONE_ROUNDS)
        ]
        return min(1.0, await _count_during(work) / max(alone))


async def _count_during(work: Callable[[], Awaitable[object]]) -> float:
    counter = _Counter()
    counter.start()
    try:
        await work()
    finally:
        counter.is_done = True
    await asyncio.to_thread(counter.join)
    return counter.rate


class _Counter(threading.Thread):
    """Counts until it is done."""

    is_done = False
    rate = 0.0
    """Counts in a second in which it had a core."""

    def run(self) -> None:
        count = 0
        began, waited = time.perf_counter(), _seconds_without_core()
        while not self.is_done:
            count += 1
        # In this order, so that no wait outside of the measured time is subtracted.
        waited = _seconds_without_core() - waited
        self.rate = count / (time.perf_counter() - began - waited)


def _seconds_without_core() -> float:
    """How long this thread could run but had no core to do so (Linux, ``schedstat``)."""
    try:
        schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(schedstat.split()[1]) / 1e9
