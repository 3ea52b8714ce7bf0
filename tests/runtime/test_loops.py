from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading

import pytest
from forking import in_forked_child

from fsspec_store._runtime.loops import PerLoop


class Session:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = threading.get_ident()
        self.closed: list[str] = []


class Kind:
    """Makes sessions, and notes in each how it was closed."""

    def __init__(self, made: list[Session]) -> None:
        self.made = made

    def make(self) -> Session:
        self.made.append(Session())
        return self.made[-1]

    async def aclose(self, session: Session) -> None:
        assert asyncio.get_running_loop() is session.loop
        session.closed.append("awaited")

    def close_now(self, session: Session) -> None:
        assert not session.loop.is_running() or threading.get_ident() == session.thread
        session.closed.append("now")

    def forget(self, session: Session) -> None:
        session.closed.append("forgotten")


class Sessions:
    """Sessions per loop, and all that were made."""

    def __init__(self) -> None:
        self.made: list[Session] = []
        self.per_loop = PerLoop(Kind(self.made))

    async def get(self) -> Session:
        return self.per_loop.get()

    @property
    def closed(self) -> list[list[str]]:
        return [session.closed for session in self.made]


def test_each_loop_has_one_resource_that_is_closed_with_it() -> None:
    sessions = Sessions()

    async def use() -> Session:
        assert sessions.per_loop.get() is sessions.per_loop.get()
        return sessions.per_loop.get()

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first is not second
    assert sessions.closed == [["awaited"], ["awaited"]]


def test_a_running_loop_is_required() -> None:
    with pytest.raises(RuntimeError):
        Sessions().per_loop.get()


async def test_closing_on_its_loop() -> None:
    sessions = Sessions()
    first = sessions.per_loop.get()
    sessions.per_loop.close()
    assert first.closed == ["now"]
    sessions.per_loop.close()
    second = sessions.per_loop.get()
    assert second is not first
    await sessions.per_loop.aclose()
    await sessions.per_loop.aclose()
    assert sessions.closed == [["now"], ["awaited"]]


def test_a_loop_closed_without_shutdown_leaves_nothing_open() -> None:
    sessions = Sessions()
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(sessions.get())
        loop.close()
    # The second loop's first use found the first loop closed.
    assert sessions.closed == [["now"], []]
    sessions.per_loop.close()
    assert sessions.closed == [["now"], ["now"]]


def test_the_resource_of_a_stopped_loop_is_closed_from_outside() -> None:
    sessions = Sessions()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(sessions.get())
    sessions.per_loop.close()
    assert sessions.closed == [["now"]]
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert sessions.closed == [["now"]]


class LoopThread:
    """An event loop that runs in a thread of its own."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self.loop

    def __exit__(self, *exc: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@pytest.mark.parametrize("how", ["close", "close_at_exit", "dropped"])
def test_a_loop_of_another_thread_closes_its_resource(how: str) -> None:
    sessions = Sessions()
    with LoopThread() as loop:
        asyncio.run_coroutine_threadsafe(sessions.get(), loop).result(10)
        if how == "dropped":
            del sessions.per_loop
            gc.collect()
        else:
            getattr(sessions.per_loop, how)()
        # Whatever was scheduled before this has run when this has.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
        assert sessions.closed == [["awaited" if how == "close_at_exit" else "now"]]
    assert len(sessions.closed[0]) == 1


def test_a_resource_is_closed_when_it_is_garbage() -> None:
    sessions = Sessions()

    async def use() -> None:
        sessions.per_loop.get()
        del sessions.per_loop
        gc.collect()

    asyncio.run(use())
    assert sessions.closed == [["now"]]


def test_garbage_in_a_cycle_is_closed_before_it_is_finalised() -> None:
    finalised_open = []

    class Fragile(Session):
        def __del__(self) -> None:
            if not self.closed:
                finalised_open.append(self)

    class FragileKind(Kind):
        def make(self) -> Session:
            return Fragile()

    async def use() -> None:
        for _ in range(20):
            per_loop = PerLoop(FragileKind([]))
            session = per_loop.get()
            # As an exception's traceback ties a store to what it used.
            session.cycle = [per_loop, session]  # type: ignore[attr-defined]
        del per_loop, session
        gc.collect()

    asyncio.run(use())
    gc.collect()
    assert finalised_open == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot: no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_during_the_first_use_makes_its_own() -> None:
    parent = os.getpid()
    begun, over = threading.Event(), threading.Event()

    class Slow(Kind):
        def make(self) -> Session:
            if os.getpid() == parent:
                begun.set()
                over.wait(60)
            return super().make()

    made: list[Session] = []
    per_loop = PerLoop(Slow(made))

    async def use() -> bool:
        return per_loop.get() is made[-1]

    def child() -> bool:
        signal.alarm(20)
        return asyncio.run(use()) and len(made) == 1

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    begun.wait(60)
    try:
        assert in_forked_child(child)
    finally:
        over.set()
        thread.join()
