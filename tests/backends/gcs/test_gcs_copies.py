"""Copies on Google Cloud Storage: the token of a long one, conditions, and what is missing."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from conformance.support import put, read
from google_api import GoogleFileSystem, error_response
from proxied import OnFakeGCS
from request_counts.counting import query
from servers import GCSEndpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, the_first

from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    KeyNotFoundError,
    VersionMismatchError,
)


def state(**found: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode())


class TestCopies(OnFakeGCS):
    filesystem = GoogleFileSystem

    async def test_a_long_copy_is_continued_by_its_token(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a")
        states = iter([state(done=False, rewriteToken="t/1"), state(done=False, rewriteToken="2")])
        proxy.plan = lambda *request: next(states, None)
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert [query(request).get("rewriteToken") for request in seen] == [None, ["t/1"], ["2"]]
        assert await read(store, "b") == b"a"

    @pytest.mark.parametrize(
        "found", [{}, {"done": False}, {"done": False, "rewriteToken": "1"}, {"done": "yes"}]
    )
    async def test_a_copy_that_does_not_end_is_an_error(
        self, make_store: Any, proxy: FaultProxy, found: dict[str, Any]
    ) -> None:
        store = make_store()
        proxy.plan = lambda *request: state(**found)
        with proxy.watching() as seen, pytest.raises(BackendError):
            await store.copy_from(store, "a", "b")
        assert len(seen) <= 2

    @pytest.mark.parametrize(("version", "condition"), [("17", "17"), ("", "1"), ("x&y=z", "1")])
    async def test_the_service_checks_the_generation(
        self, make_store: Any, proxy: FaultProxy, version: str, condition: str
    ) -> None:
        store = make_store()
        proxy.plan = lambda *request: error_response(412, "conditionNotMet")
        with proxy.watching() as seen, pytest.raises(VersionMismatchError):
            await store.copy_from(store, "a", "b", version=version)
        [request] = seen
        assert query(request)["ifSourceGenerationMatch"] == [condition]
        assert request.headers["content-length"] == "0"

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.UNAVAILABLE])
    async def test_a_copy_whose_response_is_lost_is_sent_again(
        self, make_store: Any, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store()
        await put(store, "a")
        proxy.plan = the_first(1, fault)
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
        assert store.stats.retries == 1

    async def test_a_copy_keeps_metadata(self, make_store: Any, endpoint: GCSEndpoint) -> None:
        store = make_store()
        bucket, _, root = store.path.partition("/")
        with closing(endpoint.client()) as client:
            blob = client.bucket(bucket).blob(f"{root}/a")
            blob.content_encoding, blob.metadata = "zstd", {"colour": "blue"}
            blob.upload_from_string(b"value", content_type="text/x-test")
            await store.copy_from(store, "a", "b")
            copied = client.bucket(bucket).get_blob(f"{root}/b")
        assert (copied.content_type, copied.content_encoding) == ("text/x-test", "zstd")
        assert copied.metadata == {"colour": "blue"}

    async def test_what_is_missing_is_stated(self, make_store: Any, proxy: FaultProxy) -> None:
        store = make_store()
        for status, message, error in (
            (404, "No such object: bucket/root/a", KeyNotFoundError),
            (404, "The specified bucket does not exist.", BucketNotFoundError),
            (403, "no", AccessDeniedError),
        ):
            answer = error_response(status, message)
            proxy.plan = lambda *request, answer=answer: answer
            with proxy.watching() as seen, pytest.raises(error):
                await store.copy_from(store, "a", "b")
            assert len(seen) == 1

    async def test_a_missing_bucket_is_an_error(
        self, make_store: Any, endpoint: GCSEndpoint
    ) -> None:
        store = make_store()
        other = type(store)(store.fs, "there-is-no-such-bucket/root")
        await put(store, "a")
        with pytest.raises(BucketNotFoundError):
            await store.copy_from(other, "a")
        await other.aclose()
