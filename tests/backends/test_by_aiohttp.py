"""The contract on the emulators of Google and Azure with aiohttp: transport="library"."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from conformance import TRANSPORT_RULES
from conformance.support import listed, put, read

from fsspec_store import RangeByteRequest

from .azure import test_azurite
from .gcs import test_gcs


class ByAiohttp:
    """Stores whose transport is the library, unless a test says otherwise."""

    transport = "library"

    @pytest.mark.parametrize("transport", ["auto", "library"])
    async def test_the_transport_is_the_one_of_the_option(
        self, make_store: Any, transport: str
    ) -> None:
        store = make_store(transport=transport)
        await put(store, "a/b", "a/c")
        assert await read(store, "a/b") == b"a/b"
        assert await read(store, "a/b", RangeByteRequest(0, 1)) == b"a"
        assert await read(store, "missing") is None
        assert await store.exists("a/c")
        assert not await store.set_if_not_exists("a/c", await store.get("a/b"))
        await store.delete("a/b")
        await store.delete_dir("a")
        assert await store.is_empty("a")
        is_native = transport == "auto"
        assert (store.stats.native > 0.8 * store.stats.requests > 0) is is_native
        assert is_native or store.stats.native == 0
        assert await listed(store.list()) == []


class TestFakeGCSByAiohttp(ByAiohttp, test_gcs.TestFakeGCS):
    limits = dataclasses.replace(test_gcs.TestFakeGCS.limits, examples=10, many=150)
    service = "fake-gcs-server, by aiohttp"
    fast_rules = (*TRANSPORT_RULES, ByAiohttp)


class TestAzuriteByAiohttp(ByAiohttp, test_azurite.TestAzurite):
    limits = dataclasses.replace(test_azurite.TestAzurite.limits, examples=10, many=150)
    service = "Azurite, by aiohttp"
    fast_rules = (*TRANSPORT_RULES, ByAiohttp)
