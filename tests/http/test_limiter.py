"""The limiter under many tasks, threads and loops; all counts, no times."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fsspec_store._http import limiter
from fsspec_store._http.limiter import MAX_IN_FLIGHT, Limiter, Permit, limiter_for


@pytest.fixture(autouse=True)
def nothing_left_in_flight() -> Iterator[None]:
    before = limiter._all.in_flight
    yield
    assert limiter._all.in_flight == before


async def test_as_many_at_once_as_the_limit_and_no_more() -> None:
    permits = Limiter()
    most = running = 0
    full = asyncio.Event()

    async def work() -> None:
        nonlocal most, running
        era = await permits.acquire()
        running += 1
        most = max(most, running)
        if running == 16:
            full.set()
        await full.wait()
        running -= 1
        permits.release(era)

    await asyncio.gather(*(work() for _ in range(100)))
    assert most == 16
    assert permits.in_flight == 0


async def test_it_grows_while_requests_succeed_and_only_when_it_was_reached() -> None:
    permits = Limiter()
    for _ in range(50):
        permits.release(await permits.acquire(), succeeded=True)
    assert permits.limit == 16
    for _ in range(20):
        eras = [await permits.acquire() for _ in range(int(permits.limit))]
        for era in eras:
            permits.release(era, succeeded=True)
    assert 16 < permits.limit <= MAX_IN_FLIGHT


async def test_one_complaint_halves_it_once_and_it_recovers_step_by_step() -> None:
    permits = Limiter()
    permits.limit = 64.0
    eras = [await permits.acquire() for _ in range(64)]
    for era in eras:
        permits.release(era, throttled=True)
    assert permits.limit == 32
    permits.release(await permits.acquire(), throttled=True)
    assert permits.limit == 16
    eras = [await permits.acquire() for _ in range(16)]
    for era in eras:
        permits.release(era, succeeded=True)
    assert 16 < permits.limit <= 17
    for _ in range(20):
        permits.release(await permits.acquire(), throttled=True)
    assert permits.limit == 1
    # One is always let through, or nothing would ever recover.
    permits.release(await permits.acquire(), succeeded=True)
    assert permits.limit == 2


async def test_a_cancelled_waiter_takes_no_permit_with_it() -> None:
    permits = Limiter(1)
    era = await permits.acquire()
    waiting = [asyncio.create_task(permits.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    permits.release(era)
    # Given in this very step, and cancelled before it could be taken.
    waiting[1].cancel()
    permits.release(await waiting[2])
    await asyncio.gather(*waiting, return_exceptions=True)
    assert permits.in_flight == 0


async def test_cancelled_in_the_moment_it_is_given() -> None:
    permits = Limiter(1)
    era = await permits.acquire()
    waiting = asyncio.create_task(permits.acquire())
    await asyncio.sleep(0)
    permits.release(era)
    # The loop has set the permit, and not yet run the task.
    asyncio.get_running_loop().call_soon(waiting.cancel)
    await asyncio.gather(waiting, return_exceptions=True)
    if not waiting.cancelled():
        permits.release(waiting.result())
    permits.release(await permits.acquire())
    assert permits.in_flight == 0


def test_threads_share_one_limit() -> None:
    permits = Limiter(4)
    running = most = 0
    lock = threading.Lock()

    async def work() -> None:
        nonlocal running, most
        era = await permits.acquire()
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0)
        with lock:
            running -= 1
        permits.release(era)

    async def many() -> None:
        await asyncio.gather(*(work() for _ in range(200)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 0 < most <= 4
    assert permits.in_flight == 0


async def test_services_have_limits_of_their_own() -> None:
    one, other = limiter_for("test http://one"), limiter_for("test http://other")
    assert one is limiter_for("test http://one")
    assert one is not other


def test_all_services_together_leave_files_to_the_process() -> None:
    program = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from fsspec_store._http.limiter import limiter_for
async def main():
    most = running = 0
    async def work(service):
        nonlocal most, running
        limiter = limiter_for(service)
        era = await limiter.acquire()
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        limiter.release(era, succeeded=True)
    await asyncio.gather(*(work(f"http://{n % 5}") for n in range(500)))
    print(most)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "16\n"
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_with_nothing_in_flight() -> None:
    permits = limiter_for("test http://forked")

    async def acquire() -> list[int]:
        return [await permits.acquire() for _ in range(16)]

    eras = asyncio.run(acquire())
    pid = os.fork()
    if pid == 0:
        os._exit(permits.in_flight + limiter._all.in_flight)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert permits.in_flight == 16
    for era in eras:
        permits.release(era)


def test_what_a_dead_loop_held_is_taken_back() -> None:
    permits = limiter_for("test http://dead loop")
    loop = asyncio.new_event_loop()

    async def hold() -> None:
        await permits.acquire()

    async def interrupted() -> None:
        held = [asyncio.create_task(hold()) for _ in range(16)]
        await asyncio.gather(*held)
        # More than there are, who wait when the loop stops for good.
        waiting.extend(asyncio.create_task(permits.acquire()) for _ in range(3))
        await asyncio.sleep(0)

    waiting: list[asyncio.Task[Permit]] = []
    loop.run_until_complete(interrupted())
    assert permits.in_flight == 16

    async def on_another_loop() -> None:
        async with asyncio.timeout(10):
            permits.release(await permits.acquire())

    asyncio.run(on_another_loop())
    for task in waiting:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    loop.close()
    assert permits.in_flight == 0


def test_who_waits_hears_of_a_loop_that_stops_holding_permits() -> None:
    permits = limiter_for("test http://stopping loop")
    holding, waiting = threading.Event(), threading.Event()
    left: list[tuple[asyncio.AbstractEventLoop, list[Permit]]] = []

    def hold_until_others_wait() -> None:
        loop = asyncio.new_event_loop()

        async def hold() -> list[Permit]:
            held = [await permits.acquire() for _ in range(int(permits.limit))]
            holding.set()
            await asyncio.to_thread(waiting.wait)
            return held

        left.append((loop, loop.run_until_complete(hold())))

    async def wait() -> None:
        mine = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        assert permits._waiting
        waiting.set()
        # Nobody asks for another permit meanwhile, nor gives one back.
        permits.release(await asyncio.wait_for(mine, 20))

    thread = threading.Thread(target=hold_until_others_wait)
    thread.start()
    holding.wait()
    asyncio.run(wait())
    thread.join()
    loop, held = left[0]
    for permit in held:
        permits.release(permit)
    loop.close()
    assert permits.in_flight == 0


def test_a_loop_that_ends_before_its_grant_keeps_no_permit() -> None:
    permits = limiter_for("test http://ending loop")

    class EndedLoop(asyncio.SelectorEventLoop):
        """Closed by its own thread between the question whether it runs and the call."""

        def call_soon_threadsafe(self, *args: object, **options: object) -> asyncio.Handle:
            if is_over:
                raise RuntimeError("Event loop is closed")
            return super().call_soon_threadsafe(*args, **options)  # type: ignore[arg-type]

    is_over = False

    async def end() -> None:
        nonlocal is_over
        held = [await permits.acquire() for _ in range(int(permits.limit))]
        waiting = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        is_over = True
        for permit in held:
            permits.release(permit)
        is_over = False
        assert permits.in_flight == 0
        waiting.cancel()

    loop = EndedLoop()
    loop.run_until_complete(end())
    loop.close()
    assert permits.in_flight == 0
