"""What a piece of work costs the process that does it: time, CPU, memory.

By the clock and the statistics of the kernel.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import itertools
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Sample:
    """One round of one candidate.

    Attributes
    ----------
    calls
        How often the operation was called.
    seconds
        From the first call to the end of the last.
    cpu_seconds
        Of this process, all its threads, user and system.
    loop_seconds
        The part of it on the thread of the event loop on which the store runs.
    grown_bytes
        By how much the memory at its highest was more than at the start; None where the system
        does not state it.
    """

    calls: int
    seconds: float
    cpu_seconds: float
    loop_seconds: float
    grown_bytes: int | None


async def measured(
    work: Callable[[], Awaitable[int]],
    loop_seconds: Callable[[], Awaitable[float]],
    *,
    from_little: bool = False,
) -> Sample:
    """Measure some work, which returns its number of calls.

    `loop_seconds` returns the CPU time of the event loop's thread so far.

    With `from_little`, memory that earlier work freed is returned to the system first: a process
    that keeps it would seem to need none. Times of such work are not comparable, because getting
    memory takes time.
    """
    if from_little:
        _release_memory()
    can_tell = _reset_peak()
    memory = _memory("VmRSS") if can_tell else 0
    loop = await loop_seconds()
    cpu, began = _cpu_seconds(), time.perf_counter()
    calls = await work()
    seconds, cpu = time.perf_counter() - began, _cpu_seconds() - cpu
    loop = await loop_seconds() - loop
    grown = max(0, _memory("VmHWM") - memory) if can_tell else None
    return Sample(calls, seconds, cpu, loop, grown)


async def seconds_of_this_loop() -> float:
    """CPU time of the thread of the running event loop."""
    return time.thread_time()


async def drive(
    call: Callable[[int], Awaitable[object]], *, calls: int | None, seconds: float, at_once: int
) -> int:
    """Call with 0, 1, 2, ..., several at once: `calls` times, or for some seconds if it is None.

    Returns the number of calls.
    """
    turns = itertools.count() if calls is None else iter(range(calls))
    deadline = time.perf_counter() + seconds
    done = 0

    async def keep_calling() -> None:
        nonlocal done
        for turn in turns:
            await call(turn)
            done += 1
            if calls is None and time.perf_counter() >= deadline:
                return

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(keep_calling())
    return done


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _release_memory() -> None:
    gc.collect()
    # Only GNU libc has it.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_peak() -> bool:
    """Make the memory of now the highest there was (proc(5), ``clear_refs``); Linux alone can."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _memory(name: str) -> int:
    """Bytes, of a line of proc(5), ``status``."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the kernel does not state {name}")
