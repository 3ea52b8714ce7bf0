"""Clean-up after failed and cancelled calls: limited in time, and awaited on close."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest
from servers.scripted import nothing_left

from fsspec_store._backends.cleanup import CLEANUP_SECONDS, GRACE_SECONDS, Cleanup


async def never() -> None:
    await asyncio.Event().wait()


async def test_a_cancelled_call_returns_soon_and_closing_awaits_the_rest() -> None:
    cleanup = Cleanup()
    done = asyncio.Event()

    async def call() -> None:
        try:
            await never()
        except asyncio.CancelledError as error:
            await cleanup.run(undo, error)
            raise

    async def undo() -> None:
        try:
            await never()
        finally:
            done.set()

    async with nothing_left():
        began = time.monotonic()
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        # Generous, and below what the whole clean-up may take.
        assert time.monotonic() - began < GRACE_SECONDS + (CLEANUP_SECONDS - GRACE_SECONDS) / 2
        assert not done.is_set()
        await cleanup.aclose()
        assert done.is_set()
        assert time.monotonic() - began < 3 * CLEANUP_SECONDS


async def test_a_second_cancellation_does_not_wait_and_does_not_stop_it() -> None:
    cleanup = Cleanup()
    go_on, done = asyncio.Event(), asyncio.Event()

    async def undo() -> None:
        await go_on.wait()
        done.set()

    async with nothing_left():
        task = asyncio.create_task(cleanup.run(undo, asyncio.CancelledError()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        go_on.set()
        await cleanup.aclose()
        assert done.is_set()


async def test_clean_up_after_a_failure_is_awaited_and_its_errors_are_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "fsspec_store")
    went_on = []

    async def undo() -> None:
        await asyncio.sleep(0)
        went_on.append(True)
        raise OSError("s3cret")

    await Cleanup().run(undo, ValueError())
    assert went_on
    assert [record.getMessage() for record in caplog.records] == [
        "a clean-up after a failed or cancelled write failed: OSError"
    ]


async def test_closing_without_a_loop_cancels_the_clean_up() -> None:
    cleanup = Cleanup()
    async with nothing_left():
        task = asyncio.create_task(cleanup.run(never, asyncio.CancelledError()))
        await asyncio.sleep(0)
        thread = threading.Thread(target=cleanup.close)
        thread.start()
        await task
        thread.join()
