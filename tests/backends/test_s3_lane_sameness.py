"""Both lanes ask for the same things, count the same, and tell no secrets."""

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

from .lanes import opened, options_of, use, wire

#: Every character but "/", which separates, and NUL, which no key has.
segments = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cs"]),
    min_size=1,
    max_size=12,
).filter(lambda segment: segment not in (".", ".."))
keys = st.lists(segments, min_size=1, max_size=4).map("/".join)


async def outcome(call: Awaitable[Any]) -> object:
    """What came of it: the result, or the kind of error."""
    try:
        return await call
    except StoreError as error:
        return type(error)


async def test_any_key_is_the_same_key_in_both_lanes(endpoint: S3Endpoint) -> None:
    bucket, options = endpoint.make_bucket(), options_of(endpoint)

    @settings(max_examples=20)
    # SeaweedFS takes a backslash for a slash.
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
        for writer, reader in ((fast, slow), (slow, fast)):
            written = await outcome(put(writer, key))
            assert written == await outcome(put(reader, key)), (
                "one lane writes what another does not"
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
        opened(f"s3://{bucket}/x", options) as fast,
        opened(f"s3://{bucket}/x", options, fast=False) as slow,
    ):
        await run_property(check)
        assert fast.stats.fast == fast.stats.requests > 0
        assert slow.stats.fast == 0


async def test_both_lanes_ask_for_the_same(endpoint: S3Endpoint, proxy: FaultProxy) -> None:
    wires = []
    bucket = endpoint.make_bucket()
    for fast in (True, False):
        with opened(f"s3://{bucket}/x y", options_of(endpoint, proxy), fast=fast) as store:
            with proxy.watching() as seen:
                await use(store)
                await store.delete("left")
            assert store.stats.requests == len(seen)
            assert store.stats.fast == (len(seen) if fast else 0)
        wires.append(wire(seen))
    assert wires[0] == wires[1]


@pytest.mark.parametrize("fast", [True, False])
async def test_a_copy_has_the_same_lane(minio_endpoint: S3Endpoint, fast: bool) -> None:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with opened(url, options, fast=fast) as store:
        await put(store, "a")
        for copy in (
            pickle.loads(pickle.dumps(store)),
            store.with_read_only(True),
            FsspecStore.from_url(url, options, fast=fast),
        ):
            assert await read(copy, "a") == b"a"
            assert bool(copy.stats.fast) is fast
            copy.close()


async def test_stores_with_other_lanes_do_not_share(minio_endpoint: S3Endpoint) -> None:
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with (
        opened(url, options) as fast,
        opened(url, options, fast=False) as slow,
        opened(url, options) as again,
    ):
        await asyncio.gather(*(put(store, str(id(store))) for store in (fast, slow, again)))
        assert [store.stats.fast for store in (fast, slow, again)] == [1, 0, 1]
        lanes = [store._backend._calls.lanes for store in (fast, slow, again)]
        assert lanes[0] is lanes[2] is not lanes[1]
        # Whichever is closed, the others go on.
        slow.close()
        assert await read(fast, str(id(slow))) == str(id(slow)).encode()
        fast.close()
        assert await read(again, str(id(fast))) == str(id(fast)).encode()


@pytest.mark.parametrize("fast", [True, False])
async def test_nothing_that_is_logged_or_raised_holds_a_secret(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture, fast: bool
) -> None:
    caplog.set_level(logging.DEBUG, "fsspec_store")
    token = "token-that-nobody-may-see"
    texts: list[str] = []
    refusals = (
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
        with opened(f"s3://{bucket}/x", options, fast=fast, retries=0) as store:
            await use(store)
            for refusal in refusals:
                proxy.plan = lambda method, target, headers, refusal=refusal: refusal
                for call in (store.get("a"), put(store, "a"), listed(store.list())):
                    try:
                        await call
                    except StoreError as error:
                        texts += ["".join(traceback.format_exception_only(error)), repr(error)]
            proxy.plan = no_faults
            lanes = store._backend._calls.lanes
            texts += [repr(store), repr(store.stats), repr(store._backend), repr(lanes)]
            if fast:
                texts += [repr(lanes.fast), repr(lanes.fast._ways), repr(vars(lanes.fast))]
        with opened(f"s3://{bucket}/x", {**options, "token": token}, fast=fast) as store:
            with pytest.raises(StoreError) as caught:
                await store.get("a")
            texts += [repr(caught.value), str(caught.value)]
    texts += [record.getMessage() for record in caplog.records]
    assert len(texts) > 20
    found = [re.search("Signature=(.*)", each.headers["authorization"]) for each in proxy.seen]
    secrets = {match[1] for match in found if match} | {minio_endpoint.secret, token}
    assert len(secrets) > 5
    assert not [text for text in texts if any(secret in text for secret in secrets)]


@pytest.mark.parametrize("fast", [True, False])
async def test_the_log_is_silent_where_nothing_is_unusual(
    minio_endpoint: S3Endpoint, caplog: pytest.LogCaptureFixture, fast: bool
) -> None:
    caplog.set_level(logging.DEBUG, "fsspec_store")
    url, options = f"s3://{minio_endpoint.make_bucket()}/x", options_of(minio_endpoint)
    with opened(url, options, fast=fast) as store:
        await use(store)
        assert bool(store.stats.fast) is fast
    assert [record for record in caplog.records if record.name.startswith("fsspec_store")] == []
