"""Stores in other processes: forked, pickled, never closed. Nothing is printed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

WARNINGS = [
    "-Walways::ResourceWarning",
    # Python's own word to whoever forks beside fsspec's thread.
    "-Wignore:This process:DeprecationWarning",
]


#: Services that keep connections open, and one that closes them.
SERVICES = {
    "moto": ("s3", "moto_endpoint", "make_bucket"),
    "minio": ("s3", "minio_endpoint", "make_bucket"),
    "fake-gcs": ("gs", "fake_gcs_endpoint", "make_bucket"),
    "azurite": ("abfs", "azurite_endpoint", "make_container"),
}


@pytest.fixture
def run(request: pytest.FixtureRequest) -> object:
    protocol, fixture, make = SERVICES[request.param]
    endpoint = request.getfixturevalue(fixture)
    bucket = getattr(endpoint, make)()
    options = json.dumps(endpoint.storage_options())
    header = f"""
import asyncio, gc, multiprocessing, os, sys, threading, warnings
from fsspec_store import Buffer, FsspecStore

URL, OPTIONS = "{protocol}://{bucket}/x", {options}

def store():
    return FsspecStore.from_url(URL, OPTIONS)

async def use(store, data=b"value"):
    await store.set("a/b", Buffer.from_bytes(data))
    assert (await store.get("a/b")).to_bytes() == data
    assert [key async for key in store.list()] == ["a/b"]
"""

    def run(program: str) -> None:
        done = subprocess.run(
            [sys.executable, *WARNINGS, "-c", header + program],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.stderr, done.stdout, done.returncode) == ("", "done\n", 0)

    return run


PROGRAMS = {
    "never closed": """
kept = store()
asyncio.run(use(kept))
asyncio.run(use(kept))
print("done")
""",
    "dropped inside the loop": """
async def main():
    for _ in range(3):
        await use(store())
        gc.collect()
asyncio.run(main())
print("done")
""",
    "closed inside the loop": """
async def main():
    with store() as one:
        await use(one)
    async with store() as two:
        await use(two)
asyncio.run(main())
print("done")
""",
    "a loop that is closed by hand": """
loop = asyncio.new_event_loop()
kept = store()
loop.run_until_complete(use(kept))
loop.close()
asyncio.run(use(kept))
kept.close()
print("done")
""",
    "a loop that is never closed": """
loop = asyncio.new_event_loop()
kept = store()
loop.run_until_complete(use(kept))
kept.close()
loop.close()
print("done")
""",
    "a loop in a daemon thread, at exit": """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
kept = store()
asyncio.run_coroutine_threadsafe(use(kept), loop).result()
print("done")
""",
    "closed from another thread": """
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
kept = store()
asyncio.run_coroutine_threadsafe(use(kept), loop).result()
kept.close()
asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
print("done")
""",
    # Its owner stops it at exit, as zarr does: closing the store and the end come at once.
    "closed as the program ends, beside a loop that is busy": """
import atexit, stat, time

def sockets():
    found = 0
    for number in range(256):
        try:
            found += stat.S_ISSOCK(os.fstat(number).st_mode)
        except OSError:
            pass
    return found

def stop():
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert sockets() == before

kept = store()
before = sockets()
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever, daemon=True)
thread.start()
atexit.register(stop)
asyncio.run_coroutine_threadsafe(use(kept), loop).result()
loop.call_soon_threadsafe(time.sleep, 0.5)
kept.close()
print("done")
""",
    "interrupted": """
kept = store()
async def main():
    await use(kept)
    raise KeyboardInterrupt
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("done")
""",
    "zarr's own loop": """
import zarr
from fsspec_store.zarr import ZarrStore
kept = ZarrStore.from_url(URL + "/zarr", OPTIONS)
array = zarr.create_array(store=kept, shape=(10,), chunks=(5,), dtype="i4")
array[:] = 7
assert zarr.open_array(store=kept)[:].sum() == 70
print("done")
""",
    "forked": """
kept = store()
asyncio.run(use(kept))

async def main():
    await use(kept)
    child = os.fork()
    if child == 0:
        return "child"
    assert os.waitpid(child, 0)[1] == 0
    await use(kept, b"parent again")
    return "parent"

loop = asyncio.new_event_loop()
who = loop.run_until_complete(main())
if who == "child":
    # The loop of this program is the parent's, and is not closed here.
    warnings.simplefilter("ignore", ResourceWarning)
    asyncio.run(use(kept, b"child"))
    sys.exit(0)
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
print("done")
""",
    "pickled into a spawned process": """
def child(kept):
    asyncio.run(use(kept, b"child"))

kept = store()
asyncio.run(use(kept))
import concurrent.futures
with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
    pool.submit(child, kept).result()
print("done")
""",
}


#: What differs between services: how their sessions end.
ENDS = ["never closed", "a loop that is closed by hand", "a loop that is never closed", "forked"]
ENDS += ["closed as the program ends, beside a loop that is busy"]


@pytest.mark.parametrize(
    ("run", "name"),
    [
        *(("moto", name) for name in PROGRAMS),
        *(
            pytest.param(service, name, marks=pytest.mark.slow)
            for service in sorted(SERVICES.keys() - {"moto"})
            for name in ENDS
        ),
    ],
    indirect=["run"],
)
def test_nothing_is_printed(run: object, name: str, request: pytest.FixtureRequest) -> None:
    program = PROGRAMS[name]
    if "azurite" in request.node.name:
        # At exit adlfs's own filesystem waits for a thread that a forked child does not have.
        program = program.replace("sys.exit(0)", "os._exit(0)")
    run(program)  # type: ignore[operator]
