"""Iterators of the blocking methods that are interrupted, or left open as the program ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from fsspec_store.blocking import iterate

LEFT_OPEN = """
from fsspec.implementations.memory import MemoryFileSystem
from fsspec_store import Buffer, FsspecStore

store = FsspecStore(MemoryFileSystem(), "left-open", allow_racy_create=True)
for name in "abc":
    store.sync.set(name, Buffer.from_bytes(b"x"))
keys = store.sync.list()
print(next(keys))
"""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts: workers of parallel tests, and jobs of a shell, are made to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_iterator_raises_the_interruption_once_its_source_is_closed() -> None:
    waiting, closed = threading.Event(), threading.Event()

    async def source() -> AsyncGenerator[int, None]:
        try:
            yield 1
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                # As a connection that is closed takes a few rounds of the loop.
                for _ in range(10):
                    await asyncio.sleep(0)
        finally:
            closed.set()

    def interrupt() -> None:
        waiting.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        list(iterate(source()))
    assert closed.is_set()


def test_an_iterator_left_open_does_not_keep_the_program_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LEFT_OPEN],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "a\n", "")
