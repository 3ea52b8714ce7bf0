"""A real Jupyter kernel: cells that await and cells that do not, tab completion, tooltips."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import IPython
import pytest
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager, start_new_async_kernel
from servers import S3Endpoint

import fsspec_store
import fsspec_store.zarr
from fsspec_store._store.sync import SyncStore

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

    async def complete(self, code: str) -> set[str]:
        """What Tab offers at the end of the code, without what precedes the last dot."""
        asked = self.client.complete(code, len(code))
        matches = (await self._answer(asked))["matches"]
        return {match.rpartition(".")[2] for match in matches}

    async def explain(self, code: str) -> str:
        """The text of a tooltip, without colours."""
        asked = self.client.inspect(code, len(code))
        text = (await self._answer(asked))["data"]["text/plain"]
        return re.sub(r"\x1b\[[\d;]*m", "", text)

    async def _answer(self, asked: str) -> dict[str, Any]:
        while True:
            reply = await self.client.get_shell_msg(timeout=_SECONDS)
            if reply["parent_header"]["msg_id"] == asked:
                content: dict[str, Any] = reply["content"]
                assert content["status"] == "ok"
                return content


@pytest.fixture
async def kernel() -> AsyncIterator[Notebook]:
    manager, client = await start_new_async_kernel(startup_timeout=_SECONDS)
    yield Notebook(manager, client)
    client.stop_channels()
    await manager.shutdown_kernel(now=True)


@pytest.fixture
async def notebook(kernel: Notebook, minio_endpoint: S3Endpoint) -> Notebook:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", minio_endpoint.storage_options()
    beginning = f"""
from fsspec_store import Buffer, FsspecStore
url, options = {url!r}, {options!r}
store = FsspecStore.from_url(url, options)
"""
    assert await kernel.run(beginning) == ("", None)
    return kernel


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


def public(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


_SETTINGS = """
import fsspec_store, fsspec_store.zarr
store = fsspec_store.zarr.open_store("memory://notebook")
core = fsspec_store.FsspecStore.from_url("memory://notebook")
store.sync.set("zarr.json", fsspec_store.Buffer.from_bytes(b"{}"))
"""


async def test_tab_offers_what_is_public(kernel: Notebook) -> None:
    assert await kernel.run(_SETTINGS) == ("", None)
    of_package = set(fsspec_store.__all__) - {"__version__"} | {"errors", "zarr"}
    for use_jedi in (True, False):
        setting = f"get_ipython().Completer.use_jedi = {use_jedi}"
        assert await kernel.run(setting) == ("", None)
        assert await kernel.complete("store.") == public(fsspec_store.zarr.ZarrStore)
        assert await kernel.complete("core.") == public(fsspec_store.FsspecStore)
        assert await kernel.complete("store.getsi") == {"getsize", "getsize_prefix"}
        assert await kernel.complete("fsspec_store.") == of_package
        assert await kernel.complete("fsspec_store.zarr.") == set(fsspec_store.zarr.__all__)
        # Earlier releases complete nothing on the value of a property without jedi.
        if use_jedi or IPython.version_info >= (9, 18):
            assert await kernel.complete("store.sync.") == public(SyncStore)
            assert await kernel.complete("core.sync.getsi") == {"getsize", "getsize_prefix"}


async def test_tooltips_and_reprs_explain_themselves(kernel: Notebook) -> None:
    assert await kernel.run(_SETTINGS) == ("", None)
    for method in ("store.get", "store.sync.get", "core.get", "core.sync.get"):
        text = await kernel.explain(method)
        assert re.search(r"key: ?'?str'?,.*\) -> ?'?Buffer \| None'?", text, re.DOTALL), text
        assert "Read a value, or a part of it; ``None`` when the key is missing." in text
        assert "byte_range : ByteRequest, optional" in text
    shown = "print(store.sync, core, *(each.sync.get('zarr.json') for each in (store, core)))"
    assert await kernel.run(shown) == (
        "ZarrStore('memory:///notebook').sync memory:///notebook "
        "<ZarrBuffer of 2 bytes> <Buffer of 2 bytes>\n",
        None,
    )
