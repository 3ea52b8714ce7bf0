"""Blocking functions: in a pool of threads, or on this thread where there is no event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextlib import suppress

import pytest

from fsspec_store._runtime.threads import in_thread, pause, run_in_place


async def where() -> int:
    return await in_thread(threading.get_ident)


def test_in_place_they_run_here() -> None:
    assert run_in_place(where()) == threading.get_ident()


async def test_elsewhere_they_do_not_and_again_not_afterwards() -> None:
    assert await where() != threading.get_ident()
    assert run_in_place(where()) == threading.get_ident()
    assert await where() != threading.get_ident()


async def test_a_pause_lets_the_loop_go_on_and_in_place_it_needs_none() -> None:
    order: list[str] = []
    waiting = asyncio.create_task(pause(0.01))
    waiting.add_done_callback(lambda _: order.append("paused"))
    await asyncio.sleep(0)
    order.append("went on")
    await waiting
    assert order == ["went on", "paused"]
    run_in_place(pause(0))


def test_errors_are_raised_as_themselves() -> None:
    async def work() -> None:
        await in_thread(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        run_in_place(work())


class Connection:
    """Something that has to end when nobody uses it any more."""


async def test_an_error_that_was_seen_to_keeps_nothing_alive() -> None:
    def fail(connection: Connection) -> None:
        raise OSError("refused")

    gc.disable()
    try:
        connection = Connection()
        gone = threading.Event()
        weakref.finalize(connection, gone.set)
        with suppress(OSError):
            await in_thread(fail, connection)
        del connection
        # The thread and the loop may be on their way out of the call still.
        assert await asyncio.to_thread(gone.wait, 10)
    finally:
        gc.enable()


def test_what_waits_is_refused_and_cleaned_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="waits for an event"):
        run_in_place(work())
    assert cleaned == [True]


def test_threads_do_not_share_the_way() -> None:
    found = []

    async def outer() -> None:
        thread = threading.Thread(target=lambda: found.append(asyncio.run(where())))
        thread.start()
        thread.join()
        found.append(await where())

    run_in_place(outer())
    assert found[0] != threading.get_ident()
    assert found[1] == threading.get_ident()
