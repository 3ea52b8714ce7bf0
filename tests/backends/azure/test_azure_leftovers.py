"""Blocks that a killed writer leaves on Azure: listed, and removed by the service alone."""

from __future__ import annotations

from contextlib import closing

from conformance.support import collect, listed, put
from servers.azurite import AzureEndpoint
from servers.roots import new_root

from fsspec_store import FsspecStore


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
