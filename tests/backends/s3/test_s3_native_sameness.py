"""Both transports send equal requests, count alike, and reveal no secrets."""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import traceback
from collections.abc import Awaitable
from typing import Any

import pytest
from conformance.support import listed, put, read, run_property
from hypothesis import example, given, settings
from hypothesis import strategies as st
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy, fault_proxy, no_faults

from fsspec_store import FsspecStore, StoreError

from .s3_transports import opened, options_of, use, wire

#: Every character but "/", the separator, and NUL, which is invalid in keys.
segments = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda segment: segment not in (".", ".."))
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)


async def outcome(call: Awaitable[Any]) -> object:
    """The result of a call, or the type of its error."""
    try:
        return await call
    except StoreError as error:
        return type(error)


async def test_both_transports_send_equal_keys(endpoint: S3Endpoint) -> None:
    bucket, options = endpoint.make_bucket(), options_of(endpoint)

    @settings(max_examples=20)
    # SeaweedFS treats a backslash as a slash.
    @given(keys.filter(lambda key: endpoint.name != "seaweedfs" or "\\" not in key))
    @example("a+b/a b/a%20b/a%2Bb")
    @example("?versionId=1#x&y=z")
    @example("~!*'();:@=$,[]")
    @example("\r/\n/\t/\x1b/\x7f/\x85/\u2028/\ufffe")
    @example("e\u0301/\u00e9/\U0001f9ca")
    @example("/".join(["n" * 200] * 5))
    @example("a" * 1100)
    @example("<&>\"'/]]>/&amp;/&#10;")
    async def check(key: str) -> None:
        for writer, reader in ((native, library), (library, native)):
            written = await outcome(put(writer, key))
            assert written == await outcome(put(reader, key)), (
                "one transport writes what the other does not"
            )
            if written is not None:
                continue
            for call in (
                lambda store: store.exists(key),
                lambda store: store.getsize(key),
                lambda store: read(store, key),
                lambda store: listed(store.list()),
                lambda store: listed(store.list_prefix(key[:3])),
                lambda store: listed(store.list_dir(key.rpartition("/")[0])),
                lambda store: listed(store.list_sizes()),
            ):
                assert await outcome(call(writer)) == await outcome(call(reader))
            assert await read(reader, key) == key.encode()
            await (writer.delete(key) if "/" in key else writer.clear())
            if "/" in key:
                await put(writer, key)
                await writer.delete_dir(key.partition("/")[0])
            assert await reader.get(key) is None

    with (
        opened(f"s3://{bucket}/x", options) as native,
        opened(f"s3://{bucket}/x", options, transport="library") as library,
    ):
        await run_property(check)
        assert native.stats.native == native.stats.requests > 0
        assert library.stats.native == 0


async def test_both_transports_send_equal_requests(endpoint: S3Endpoint, proxy: FaultProxy) -> None:
    sent = []
    bucket = endpoint.make_bucket()
    for transport in ("auto", "library"):
        with opened(
            f"s3://{bucket}/x y", options_of(endpoint, proxy), transport=transport
        ) as store:
            with proxy.watching() as seen:
                await use(store)
                await store.delete("left")
            assert store.stats.requests == len(seen)
            assert store.stats.native == (len(seen) if transport == "auto" else 0)
        sent.append(wire(seen))
    assert sent[0] == sent[1]


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_a_copy_has_the_same_transport(minio_endpoint: S3Endpoint, transport: str) -> None:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with opened(url, options, transport=transport) as store:
        await put(store, "a")
        for copy in (
            pickle.loads(pickle.dumps(store)),
            store.with_read_only(True),
            FsspecStore.from_url(url, options, transport=transport),
        ):
            assert await read(copy, "a") == b"a"
            assert bool(copy.stats.native) is (transport == "auto")
            copy.close()


async def test_stores_with_other_transports_do_not_share(minio_endpoint: S3Endpoint) -> None:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with (
        opened(url, options) as native,
        opened(url, options, transport="library") as library,
        opened(url, options) as again,
    ):
        await asyncio.gather(*(put(store, str(id(store))) for store in (native, library, again)))
        assert [store.stats.native for store in (native, library, again)] == [1, 0, 1]
        transports = [store._backend._client.transports for store in (native, library, again)]
        assert transports[0] is transports[2] is not transports[1]
        # Closing one store does not affect the others.
        library.close()
        assert await read(native, str(id(library))) == str(id(library)).encode()
        native.close()
        assert await read(again, str(id(native))) == str(id(native)).encode()


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_logs_and_errors_contain_no_secret(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    caplog.set_level(logging.DEBUG, "fsspec_store")
    token = "secret-session-token"
    texts: list[str] = []
    responses = (
        Answer(403, {}, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>"),
        Answer(
            400, {}, b"<Error><Code>ExpiredToken</Code><Token>%s</Token></Error>" % token.encode()
        ),
        Answer(307, {"Location": "http://somewhere/"}, b""),
        Answer(404, {}, b"<html>"),
        Answer(500),
        Answer(200, {}, b"<html>"),
    )
    with fault_proxy(minio_endpoint.url) as proxy:
        options = options_of(minio_endpoint, proxy)
        bucket = minio_endpoint.make_bucket()
        with opened(f"s3://{bucket}/x", options, transport=transport, retries=0) as store:
            await use(store)
            for response in responses:
                proxy.plan = lambda method, target, headers, response=response: response
                for call in (store.get("a"), put(store, "a"), listed(store.list())):
                    try:
                        await call
                    except StoreError as error:
                        texts += ["".join(traceback.format_exception_only(error)), repr(error)]
            proxy.plan = no_faults
            transports = store._backend._client.transports
            texts += [repr(store), repr(store.stats), repr(store._backend), repr(transports)]
            if transport == "auto":
                native = transports.native
                texts += [repr(native), repr(native.targets), repr(vars(native))]
        with opened(f"s3://{bucket}/x", {**options, "token": token}, transport=transport) as store:
            with pytest.raises(StoreError) as caught:
                await store.get("a")
            texts += [repr(caught.value), str(caught.value)]
    texts += [record.getMessage() for record in caplog.records]
    assert len(texts) > 20
    found = [re.search("Signature=(.*)", each.headers["authorization"]) for each in proxy.seen]
    secrets = {match[1] for match in found if match} | {minio_endpoint.secret, token}
    assert len(secrets) > 5
    assert not [text for text in texts if any(secret in text for secret in secrets)]


@pytest.mark.parametrize("transport", ["auto", "library"])
async def test_supported_requests_log_nothing(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    caplog.set_level(logging.DEBUG, "fsspec_store")
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with opened(url, options, transport=transport) as store:
        await use(store)
        assert bool(store.stats.native) is (transport == "auto")
    assert [record for record in caplog.records if record.name.startswith("fsspec_store")] == []
