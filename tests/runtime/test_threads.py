"""Blocking functions: in the thread pool, or on the calling thread without an event loop."""

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


def test_run_in_place_uses_the_calling_thread() -> None:
    assert run_in_place(where()) == threading.get_ident()


async def test_a_loop_uses_other_threads_also_after_run_in_place() -> None:
    assert await where() != threading.get_ident()
    assert run_in_place(where()) == threading.get_ident()
    assert await where() != threading.get_ident()


async def test_a_pause_does_not_block_the_loop_and_needs_none_in_place() -> None:
    order: list[str] = []
    waiting = asyncio.create_task(pause(0.01))
    waiting.add_done_callback(lambda _: order.append("paused"))
    await asyncio.sleep(0)
    order.append("went on")
    await waiting
    assert order == ["went on", "paused"]
    run_in_place(pause(0))


def test_errors_are_raised_unchanged() -> None:
    async def work() -> None:
        await in_thread(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        run_in_place(work())


class Connection:
    """Something that has to end when nobody uses it any more."""


async def test_a_handled_error_keeps_nothing_alive() -> None:
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


def test_a_coroutine_that_waits_is_refused_and_closed() -> None:
    cleaned = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            cleaned.append(True)

    with pytest.raises(RuntimeError, match="waits for an event"):
        run_in_place(work())
    assert cleaned == [True]


def test_threads_do_not_share_the_mode() -> None:
    found = []

    async def outer() -> None:
        thread = threading.Thread(target=lambda: found.append(asyncio.run(where())))
        thread.start()
        thread.join()
        found.append(await where())

    run_in_place(outer())
    assert found[0] != threading.get_ident()
    assert found[1] == threading.get_ident()
