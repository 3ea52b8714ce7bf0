"""Copies within an account of Azure: the source's authorization, properties, limits."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContentSettings,
    ResourceTypes,
    generate_account_sas,
)
from conformance.support import put, read
from proxied import OnAzurite
from servers.azurite import AzureEndpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, the_first

from fsspec_store import FsspecStore
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    KeyNotFoundError,
    VersionMismatchError,
)

KEY = "a b+c%20?#é&='\"/🧊"


def error(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>from the test</Message></Error>"
    return Answer(status, {"x-ms-error-code": code}, body.encode())


def fetch(method: str, url: str) -> bytes:
    """Send a request without credentials but those of the URL."""
    headers = {"x-ms-blob-type": "BlockBlob"}
    body = b"" if method == "PUT" else None
    with urllib.request.urlopen(
        urllib.request.Request(url, body, headers, method=method)
    ) as response:
        found: bytes = response.read()
        return found


class TestCopies(OnAzurite):
    async def test_a_copy_keeps_properties_and_metadata(
        self, make_store: Any, endpoint: AzureEndpoint
    ) -> None:
        store = make_store()
        container, _, root = store.path.partition("/")
        settings = ContentSettings(content_type="text/x-test", content_encoding="zstd")
        with closing(endpoint.client()) as client:
            blobs = client.get_container_client(container)
            blobs.upload_blob(
                f"{root}/a", b"value", content_settings=settings, metadata={"colour": "blue"}
            )
            await store.copy_from(store, "a", "b")
            copied = blobs.get_blob_client(f"{root}/b").get_blob_properties()
        assert await read(store, "b") == b"value"
        found = copied.content_settings
        assert (found.content_type, found.content_encoding) == ("text/x-test", "zstd")
        assert copied.metadata == {"colour": "blue"}

    async def test_the_source_is_authorized_to_be_read_alone(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, KEY, data=b"value")
        with proxy.watching() as seen:
            await store.copy_from(store, KEY, "b")
        url = seen[0].headers["x-ms-copy-source"]
        assert await asyncio.to_thread(fetch, "GET", url) == b"value"
        for method in ("PUT", "DELETE"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                await asyncio.to_thread(fetch, method, url)

    async def test_a_shared_access_signature_authorizes_both(
        self, make_store: Any, endpoint: AzureEndpoint, proxy: FaultProxy
    ) -> None:
        root = make_store().path
        signature = generate_account_sas(
            endpoint.account,
            endpoint.key,
            ResourceTypes(object=True, container=True),
            AccountSasPermissions(read=True, write=True, create=True, list=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        beyond = replace(endpoint, url=proxy.url)
        connection = f"BlobEndpoint={beyond.url};SharedAccessSignature={signature}"
        options = {"connection_string": connection}
        async with FsspecStore.from_url(f"az://{root}", options, timeout=120) as store:
            await put(store, "a")
            with proxy.watching() as seen:
                await store.copy_from(store, "a", "b")
            assert await read(store, "b") == b"a"
        url = seen[0].headers["x-ms-copy-source"]
        assert await asyncio.to_thread(fetch, "GET", url) == b"a"

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.UNAVAILABLE])
    async def test_a_copy_whose_response_is_lost_is_sent_again(
        self, make_store: Any, proxy: FaultProxy, fault: Fault
    ) -> None:
        store = make_store()
        await put(store, "a")
        proxy.plan = the_first(1, fault, method="PUT")
        await store.copy_from(store, "a", "b")
        assert await read(store, "b") == b"a"
        assert store.stats.retries == 1

    async def test_an_error_for_the_source_is_that_of_its_read(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a")
        # The service's errors for a source of another account, which Azurite does not send.
        for answer, key, expected in (
            (error(404, "CannotVerifyCopySource"), "missing", KeyNotFoundError),
            (error(404, "CannotVerifyCopySource"), "a", BackendError),
            (error(412, "CannotVerifyCopySource"), "a", VersionMismatchError),
            (error(403, "CannotVerifyCopySource"), "a", AccessDeniedError),
            (error(409, "PendingCopyOperation"), "a", BackendError),
        ):
            proxy.plan = lambda method, *rest, answer=answer: answer if method == "PUT" else None
            with pytest.raises(expected) as caught:
                await store.copy_from(store, key, "b", version='"0x1"')
            assert "sig=" not in str(caught.value)

    async def test_a_copy_that_is_not_complete_is_an_error(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        for headers in ({}, {"x-ms-copy-status": "pending"}):
            proxy.plan = lambda *request, headers=headers: Answer(202, headers)
            with pytest.raises(BackendError, match="did not state"):
                await store.copy_from(store, "a", "b")

    async def test_a_large_value_is_read_and_written(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a")

        def plan(method: str, target: str, headers: Any) -> Answer | None:
            if method == "PUT" and "x-ms-copy-source" in headers:
                return error(409, "InvalidSourceBlobType")
            # A size that only the service knows.
            large = {"Content-Length": str(2**30), "ETag": '"0x1"', "Content-MD5": "x"}
            return Answer(200, large) if method == "HEAD" else None

        proxy.plan = plan
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert [request.method for request in seen] == ["PUT", "HEAD", "GET", "PUT"]
        assert await read(store, "b") == b"a"

    async def test_an_older_service_reads_and_writes(
        self, make_store: Any, proxy: FaultProxy
    ) -> None:
        store = make_store()
        await put(store, "a")
        store._backend._client.account.version = "2017-11-09"
        with proxy.watching() as seen:
            await store.copy_from(store, "a", "b")
        assert [request.method for request in seen] == ["GET", "PUT"]

    async def test_a_missing_container_is_an_error(
        self, make_store: Any, endpoint: AzureEndpoint, proxy: FaultProxy
    ) -> None:
        store = make_store()
        options = replace(endpoint, url=proxy.url).storage_options()
        await put(store, "a")
        async with FsspecStore.from_url("az://there-is-none/x", options, timeout=120) as other:
            for target, source in ((other, store), (store, other)):
                with pytest.raises(BucketNotFoundError):
                    await target.copy_from(source, "a", "b")
