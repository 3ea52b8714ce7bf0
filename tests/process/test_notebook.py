"""A real Jupyter kernel: cells that await and cells that do not, on one store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager, start_new_async_kernel
from servers import S3Endpoint

_SECONDS = 60


@dataclass(frozen=True)
class Notebook:
    manager: AsyncKernelManager
    client: AsyncKernelClient

    async def run(self, cell: str) -> tuple[str, str | None]:
        """What a cell printed, warnings among it, and the name of its error if it has one."""
        printed = []

        def note(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = await self.client.execute_interactive(cell, output_hook=note, timeout=_SECONDS)
        return "".join(printed), reply["content"].get("ename")


@pytest.fixture
async def notebook(minio_endpoint: S3Endpoint) -> AsyncIterator[Notebook]:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", minio_endpoint.storage_options()
    manager, client = await start_new_async_kernel(startup_timeout=_SECONDS)
    opened = Notebook(manager, client)
    beginning = f"""
from fsspec_store import Buffer, FsspecStore
url, options = {url!r}, {options!r}
store = FsspecStore.from_url(url, options)
"""
    assert await opened.run(beginning) == ("", None)
    yield opened
    client.stop_channels()
    await manager.shutdown_kernel(now=True)


async def test_cells_await_or_not_as_they_like(notebook: Notebook) -> None:
    run = notebook.run
    assert await run('store.sync.set("a", Buffer.from_bytes(b"one"))') == ("", None)
    assert await run('print((await store.get("a")).to_bytes())') == ("b'one'\n", None)
    both = """
import asyncio
async def write(n):
    await store.set(f"b/{n}", Buffer.from_bytes(b"%d" % n))
    return store.sync.get(f"b/{n}").to_bytes()
print(await asyncio.gather(*(write(n) for n in range(3))), list(store.sync.list()))
"""
    assert await run(both) == ("[b'0', b'1', b'2'] ['a', 'b/0', 'b/1', 'b/2']\n", None)
    # zarr has a loop of its own in a thread of its own.
    zarrs = """
import zarr
from fsspec_store.zarr import open_store
array = zarr.create_array(open_store(f"{url}/z", options), shape=(4,), dtype="i2")
array[:] = 7
print(array[:].sum(), store.sync.exists("z/zarr.json"))
"""
    assert await run(zarrs) == ("28 True\n", None)
    assert await run("store.close(); del store, array") == ("", None)


async def test_a_cell_that_waits_is_interrupted_and_the_store_goes_on(notebook: Notebook) -> None:
    asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
        waits = f"""
slow = {{**options, "endpoint_url": "http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}}
FsspecStore.from_url("s3://bucket", slow).sync.get("never")
"""
        cell = asyncio.create_task(notebook.run(waits))
        await asyncio.wait_for(asked.wait(), _SECONDS)
        await notebook.manager.interrupt_kernel()
        assert await cell == ("", "KeyboardInterrupt")
    goes_on = 'print(store.sync.get("nothing"), await store.get("nothing"))'
    assert await notebook.run(goes_on) == ("None None\n", None)
