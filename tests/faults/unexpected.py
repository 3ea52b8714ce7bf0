"""Rules of responses that another server sends in place of the service."""

from __future__ import annotations

import pytest
from conformance.support import MakeStore, listed, put, read
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import RangeByteRequest
from fsspec_store.errors import AccessDeniedError, BackendError

from .protocol import Rules, always

HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><body><h1>Sorry</h1><br></body></html>"


class UnexpectedResponseRules(Rules):
    @pytest.mark.parametrize("status", [200, 403, 404])
    async def test_a_page_of_another_server_is_an_error(
        self, make_store: MakeStore, proxy: FaultProxy, status: int
    ) -> None:
        store = make_store(retries=0)
        await put(store, "a")
        assert await read(store, "a") == b"a"
        uses = {
            "get": lambda: store.get("a"),
            "range": lambda: store.get("a", byte_range=RangeByteRequest(0, 1)),
            "list": lambda: listed(store.list()),
        }
        if status != 200:
            # Nothing else of the response to a write is needed.
            uses["set"] = lambda: put(store, "a")
            uses["delete"] = lambda: store.delete("a")
        proxy.plan = always(Answer(status, HTML, PAGE))
        for name, use in uses.items():
            with pytest.raises((BackendError, AccessDeniedError)) as caught:
                await use()
            assert not isinstance(caught.value, FileNotFoundError), name
            if name in ("get", "range"):
                assert str(status) in str(caught.value)
                assert "does not speak" in str(caught.value)
