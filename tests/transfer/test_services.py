"""Transfers between real services: byte for byte, and nothing to do the second time."""

from __future__ import annotations

import hashlib
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from servers.roots import new_root

from fsspec_store import Buffer, FsspecStore
from fsspec_store.transfer import sync, verify

from .stores import filled

MIB = 2**20
SERVERS = {
    "seaweedfs_endpoint": "s3",
    "minio_endpoint": "s3",
    "azurite_endpoint": "abfs",
    "fake_gcs_endpoint": "gs",
}


def values() -> dict[str, bytes]:
    seeded = random.Random(5)
    keys = ["zarr.json", "a/zarr.json", "a-b/zarr.json", "a.b/0", "a/c/ß 0", "a/c/+%41", "a/empty"]
    keys += [f"a/c/{number}" for number in range(300)]
    found = {key: seeded.randbytes(seeded.randrange(1, 4000)) for key in keys}
    found["a/empty"] = b""
    # Written and read in parts.
    found["a/large"] = seeded.randbytes(12 * MIB)
    return found


def store_on(request: pytest.FixtureRequest, fixture: str) -> FsspecStore:
    endpoint: Any = request.getfixturevalue(fixture)
    return FsspecStore.from_url(
        f"{SERVERS[fixture]}://{new_root(endpoint)}",
        endpoint.storage_options(),
        large_value_bytes=8 * MIB,
        part_bytes=5 * MIB,
    )


async def digests(store: FsspecStore) -> dict[str, str]:
    found = {}
    async for key in store.list():
        value = await store.get(key)
        assert value is not None
        found[key] = hashlib.sha256(value.to_bytes()).hexdigest()
    return found


async def test_values_pass_through_all_services(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    data = values()
    first = FsspecStore.from_url(str(tmp_path / "first"))
    for key, value in data.items():
        await first.set(key, Buffer.from_bytes(value))
    stores = [first, *(store_on(request, fixture) for fixture in SERVERS)]
    stores.append(FsspecStore.from_url(str(tmp_path / "last")))
    for source, target in itertools.pairwise(stores):
        result = await sync(source, target)
        assert result.ok, result.failures[:3]
        assert (result.copied, result.equal) == (len(data), 0)
        assert result.copied_bytes == sum(map(len, data.values()))
    expected = {key: hashlib.sha256(value).hexdigest() for key, value in data.items()}
    assert await digests(stores[-1]) == expected
    for store in stores[1:]:
        again = await sync(first, store)
        assert (again.copied, again.equal, again.ok) == (0, len(data), True)
    await stores[2].delete("a/c/7")
    assert [one.key for one in (await verify(first, stores[2])).differences] == ["a/c/7"]
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("fixture", SERVERS)
async def test_an_unchanged_data_set_needs_no_read_of_the_service(
    request: pytest.FixtureRequest, fixture: str, tmp_path: Path
) -> None:
    source = FsspecStore.from_url(str(tmp_path))
    for number in range(20):
        await source.set(f"c/{number}", Buffer.from_bytes(b"%d" % number * 1000))
    # Uploaded in parts.
    await source.set("large", Buffer.from_bytes(random.Random(6).randbytes(12 * MIB)))
    async with store_on(request, fixture) as target:
        await sync(source, target)
        before = target.stats.requests
        assert (await sync(source, target)).equal == 21
        # One page of the listing.
        assert target.stats.requests - before == 1


async def test_small_local_values_that_differ_are_read_at_once_elsewhere(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Their ETags may be no MD5s. The local values are read in groups, those of a service not."""
    near = await filled(FsspecStore.from_url(str(tmp_path)), {f"c/{n}": b"1" for n in range(32)})
    async with store_on(request, "minio_endpoint") as written:
        await filled(written, {f"c/{n}": b"2" for n in range(32)})
    endpoint: Any = request.getfixturevalue("minio_endpoint")
    async with FsspecStore.from_url(written.url, endpoint.storage_options()) as far:
        result = await verify(near, far)
        assert (result.differing, result.equal) == (32, 0)
        assert far.stats.most_in_flight > 4
