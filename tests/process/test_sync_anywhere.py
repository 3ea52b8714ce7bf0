"""``store.sync`` in threads, child processes, other event loops and exit handlers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from servers import S3Endpoint

BEGINNING = """
import asyncio, atexit, io, json, multiprocessing, os, sys, warnings, zipfile
from concurrent.futures import ThreadPoolExecutor
from fsspec_store import Buffer, FsspecStore

url, options = json.loads(sys.argv[1])
store = FsspecStore.from_url(url, options)

def use(store, data=b"value"):
    name = f"used/{os.getpid()}"
    store.sync.set(name, Buffer.from_bytes(data))
    return (
        store.sync.get(name).to_bytes() == data
        and name in list(store.sync.list())
        and store.sync.getsize_prefix("used") >= len(data)
    )
"""

PROGRAMS = {
    "many threads": """
with ThreadPoolExecutor(32) as pool:
    print(all(pool.map(use, [store] * 100)))
""",
    "a forked child": """
def in_child():
    child = os.fork()
    if child == 0:
        os._exit(0 if use(store) else 1)
    return os.waitpid(child, 0)[1] == 0

# Before fsspec has a thread, and after.
print(in_child() and use(store) and in_child() and use(store))
""",
    "children forked during another thread's first use": """
import threading, signal, time

def forked(first_use, seconds):
    # A filesystem of its own, as in a process that has used none.
    store = FsspecStore.from_url(url, {**options, "skip_instance_cache": True})
    thread = threading.Thread(target=first_use, args=(store,))
    thread.start()
    # From before the session is made to after the first answer.
    time.sleep(seconds)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if asyncio.run(store.get("nothing")) is None and use(store) else 1)
    status = os.waitpid(child, 0)[1]
    thread.join()
    return status == 0

print(all(
    forked(first_use, seconds)
    for first_use in (lambda store: asyncio.run(store.get("nothing")), use)
    for seconds in (0, 0.002, 0.005, 0.01, 0.02)
))
""",
    "pools of processes": """
if __name__ == "__main__":
    done = [use(store)]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            done += pool.map(use, [store] * 4)
    print(all(done))
""",
    "a running loop": """
import uvloop
async def main():
    return use(store) and not await store.exists("nothing")
print(asyncio.run(main()) and uvloop.run(main()))
""",
    "zarr's loop": """
from zarr.core.sync import _get_loop
async def call():
    return use(store)
print(asyncio.run_coroutine_threadsafe(call(), _get_loop()).result(60))
""",
    "fsspec's loop": """
from fsspec.asyn import get_loop
calls = [
    lambda: store.sync.get("a"),
    lambda: list(store.sync.list()),
    lambda: list(store.sync.get_ranges("a", [None])),
]
async def refused(call):
    try:
        call()
    except RuntimeError as error:
        return "await the method" in str(error)
print(all(asyncio.run_coroutine_threadsafe(refused(call), get_loop()).result(60) for call in calls))
""",
    "an exit handler": """
use(store)
atexit.register(lambda: print(use(store)))
""",
    "filesystems on filesystems": """
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    archive.writestr("in/a", b"packed")
store.sync.set("a.zip", Buffer.from_bytes(packed.getvalue()))
links = {"s3": options}
first_two = {"a": [f"{url}/a.zip", 0, 2]}
references = {"fo": first_two, "remote_protocol": "s3", "remote_options": options}
print(
    FsspecStore.from_url(f"zip://in::{url}/a.zip", links).sync.get("a").to_bytes() == b"packed"
    and len(FsspecStore.from_url(f"simplecache::{url}", links).sync.get("a.zip")) > 6
    and FsspecStore.from_url("reference://", references).sync.get("a").to_bytes() == b"PK"
)
""",
}

#: Where no thread may begin any more: threads that the interpreter waits for, and exit handlers.
ENDING = """
import asyncio, atexit, sys, threading
from fsspec_store import Buffer, FsspecStore

root, kept, used_before = sys.argv[1:]
store = FsspecStore.from_url(root)
options = {"simplecache": {"cache_storage": kept}}
layer = FsspecStore.from_url(f"simplecache::file://{root}", options)

def use(name):
    store.sync.set(f"{name}/a", Buffer.from_bytes(b"value"))
    asyncio.run(store.set(f"{name}/b", Buffer.from_bytes(b"value")))
    print(sorted(store.sync.list()), layer.sync.get(f"{name}/a").to_bytes())
    store.sync.delete_dir(name)
    print(list(store.sync.list()))

if used_before == "True":
    use("before")
atexit.register(use, "handler")
ended = threading.main_thread().join
threading.Thread(target=lambda: (ended(), use("thread"))).start()
"""


@pytest.mark.parametrize("used_before", [False, True])
def test_files_are_read_and_written_as_the_program_ends(used_before: bool, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, tmp_path / "root", tmp_path / "kept", str(used_before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = ""
    for name in (*["before"] * used_before, "thread", "handler"):
        expected += f"['{name}/a', '{name}/b'] b'value'\n[]\n"
    assert (done.stdout, done.stderr) == (expected, "")


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_it_works_or_the_error_has_advice(
    minio_endpoint: S3Endpoint, program: str, tmp_path: Path
) -> None:
    place = [f"s3://{minio_endpoint.make_bucket()}/x", minio_endpoint.storage_options()]
    file = tmp_path / "program.py"
    file.write_text(BEGINNING + program)
    done = subprocess.run(
        # Python's own word to whoever forks beside fsspec's thread is not asked for.
        [sys.executable, "-Wignore::DeprecationWarning", file, json.dumps(place)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
