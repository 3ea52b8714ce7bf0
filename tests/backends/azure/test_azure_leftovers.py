"""Blocks that a killed writer leaves on Azure: listed, and removed by the service or a write."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

import pytest
from conformance.support import collect, content, listed, put, read
from servers.azurite import AzureEndpoint
from servers.roots import new_root

from fsspec_store import Buffer, FsspecStore


async def test_blocks_of_keys_that_do_not_exist_are_listed(azurite_endpoint: AzureEndpoint) -> None:
    url = f"az://{new_root(azurite_endpoint)}"
    store = FsspecStore.from_url(url, azurite_endpoint.storage_options())
    container, _, root = store.path.partition("/")
    await put(store, "a/written", "empty", data=b"")
    with closing(azurite_endpoint.client()) as client:
        for name in (f"{root}/a/begun", f"{root}/a/written", f"{root}-2/begun"):
            client.get_blob_client(container, name).stage_block("AAAA", b"block")
    [found] = await collect(store.list_leftovers())
    assert (found.key, found.kind, found.modified) == ("a/begun", "blocks", None)
    assert await collect(store.list_leftovers("b")) == []
    assert await listed(store.list()) == ["a/written", "empty"]
    assert await store.remove_leftovers(older_than=0) == []
    await store.aclose()


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "existing"])
@pytest.mark.parametrize("name", ["0000001", "BlockId00001", "a" * 36], ids=len)
async def test_blocks_of_another_program_hinder_no_upload(
    azurite_endpoint: AzureEndpoint, name: str, exists: bool
) -> None:
    """All blocks of a blob have names of one length."""
    url = f"az://{new_root(azurite_endpoint)}"
    store = FsspecStore.from_url(url, azurite_endpoint.storage_options(), part_bytes=1000)
    source = FsspecStore.from_url(f"memory://{uuid4()}", part_bytes=1000)
    container, _, root = store.path.partition("/")
    data = content(5500)
    await put(source, "a", data=data)
    with closing(azurite_endpoint.client()) as client:
        for key in ("copied", "set", "streamed"):
            blob = client.get_blob_client(container, f"{root}/{key}")
            if exists:
                blob.upload_blob(b"old")
            blob.stage_block(name, b"block")
    await store.copy_from(source, "a", "copied")
    await store.set("set", Buffer.from_bytes(data))
    async with store.open_writer("streamed") as writer:
        await writer.write(Buffer.from_bytes(data))
        await writer.finish()
    for key in ("copied", "set", "streamed"):
        assert await read(store, key) == data
    await store.aclose()
