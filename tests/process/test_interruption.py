"""Blocking methods that are interrupted, or still running when the program ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.support import buf

from fsspec_store import FsspecStore, RangeByteRequest
from fsspec_store._runtime.blocking import iterate

LEFT_OPEN = """
from fsspec.implementations.memory import MemoryFileSystem
from fsspec_store import Buffer, FsspecStore

store = FsspecStore(MemoryFileSystem(), "left-open", allow_racy_create=True)
for name in "abc":
    store.sync.set(name, Buffer.from_bytes(b"x"))
keys = store.sync.list()
print(next(keys))
"""

#: Says how many interruptions it met, and what they left: files, and open descriptors.
WRITING = """
import gc, os, signal, sys, warnings
from pathlib import Path
from fsspec_store import Buffer, FsspecStore

# Of coroutines that were interrupted before they began.
warnings.simplefilter("ignore", RuntimeWarning)
root = Path(sys.argv[1])
store = FsspecStore.from_url(root).sync
value = Buffer.from_bytes(b"value")
store.set("kept", value)
version = store.get_version("kept").version
armed = over = False
met = 0

def interrupt(*_):
    global armed, met
    if armed:
        # One for each round, as of a person.
        armed = False
        met += 1
        raise KeyboardInterrupt

def end(*_):
    global over
    over = True

def work():
    global armed
    armed = True
    while not over:
        store.set("kept", value)
        store.get("kept")
        store.set("kept", value, if_match=version)
        store.set_if_not_exists("kept", value)
        store.set_if_not_exists("folder/new", value)
        store.delete("folder/new")
        with store.open_writer("kept") as writer:
            writer.write(b"val")
            writer.write(b"ue")
            writer.finish()
        with store.open_reader("kept", version=version) as reader:
            assert b"".join(part.to_bytes() for part in reader) == b"value"

signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGTERM, end)
before = len(os.listdir("/dev/fd"))
print("working", flush=True)
while not over:
    try:
        work()
    except KeyboardInterrupt:
        pass
armed = False
gc.collect()
left = [path.name for path in root.rglob("*.tmp")]
print(met, left, len(os.listdir("/dev/fd")) - before)
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


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_of_a_blocking_read_is_raised_at_every_point(tmp_path: Path) -> None:
    store = FsspecStore.from_url(tmp_path).sync
    store.set("a", buf(b"value"))
    ranges = [RangeByteRequest(0, 1), RangeByteRequest(3, 5)]
    before = sys.gettrace()
    for first in itertools.count():
        lines = itertools.count()

        def interrupt(_frame: object, event: str, _arg: object) -> Any:
            if event == "line" and next(lines) == first:  # noqa: B023
                sys.settrace(before)
                raise KeyboardInterrupt
            return interrupt

        sys.settrace(interrupt)
        try:
            found = list(store.get_ranges("a", ranges))
            break
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(before)
    assert first > 100
    assert [part.to_bytes() for answers in found for _, part in answers] == [b"v", b"ue"]


def test_an_iterator_left_open_does_not_keep_the_program_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LEFT_OPEN],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "a\n", "")


def test_interrupted_writes_leave_no_file_and_no_descriptor(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, tmp_path], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "working\n"
        # Anywhere in the work: each pause is another.
        for number in range(300):
            time.sleep(0.001 + number % 7 * 0.00033)
            writer.send_signal(signal.SIGINT)
        writer.send_signal(signal.SIGTERM)
        met, left = writer.communicate(timeout=60)[0].split(maxsplit=1)
    assert int(met) > 50
    assert left == "[] 0\n"
