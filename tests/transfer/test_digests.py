"""Checksums that are computed of local values, and the ETags of uploads in parts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import Buffer, FsspecStore
from fsspec_store.contract import Entry
from fsspec_store.transfer.digests import (
    Check,
    CompositeMD5,
    composite_md5s,
    content_md5,
    matching,
    possible_part_sizes,
)

MIB = 2**20
#: Part sizes of other programs' uploads, in MiB: AWS's command line 8, rclone 5, s5cmd 50.
SIZES = [5, 8, 10, 15, 16, 32, 50, 64, 100, 128]


def composite(data: bytes, part_size: int) -> str:
    parts = [data[start : start + part_size] for start in range(0, len(data), part_size)]
    whole = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{hashlib.md5(whole, usedforsecurity=False).hexdigest()}-{len(parts)}"


@given(st.binary(min_size=1, max_size=200), st.integers(1, 60), st.lists(st.integers(1, 50)))
def test_a_composite_is_the_md5_of_the_md5s_of_the_parts(
    data: bytes, part_size: int, cuts: list[int]
) -> None:
    found, rest = CompositeMD5(part_size), memoryview(data)
    for cut in cuts:
        found.update(rest[:cut])
        rest = rest[cut:]
    found.update(rest)
    assert found.etag() == composite(data, part_size)


@given(st.integers(1, 50 * 2**30), st.sampled_from(SIZES), st.booleans())
def test_the_part_sizes_of_an_etag_are_those_of_its_number_of_parts(
    size: int, mib: int, is_quoted: bool
) -> None:
    count = -(-size // (mib * MIB))
    etag = f"{'0' * 32}-{count}"
    found = possible_part_sizes(f'"{etag}"' if is_quoted else etag, size)
    assert 0 < len(found) <= 4
    assert all(-(-size // part_size) == count for part_size in found)
    if 16 <= count <= 10_000:
        assert mib * MIB in found


@pytest.mark.parametrize("version", [None, "0" * 32, '"0x8D"', f"{'0' * 32}-0", f"{'0' * 32}-x"])
def test_other_versions_have_no_part_sizes(version: str | None) -> None:
    assert possible_part_sizes(version, 100) == []


@pytest.mark.parametrize(
    ("version", "checksums", "expected"),
    [
        ("0" * 32, {}, "0" * 32),
        (f'"{"a" * 32}-12"', {}, f"{'a' * 32}-12"),
        ('"0x8DCAF"', {"md5": b"\1" * 16}, "01" * 16),
        ('"0x8DCAF"', {}, None),
        ("1699", {"crc32c": b"\1" * 4}, None),
        (None, {}, None),
    ],
)
def test_md5s_of_values_and_of_their_parts_are_found(
    version: str | None, checksums: dict[str, bytes], expected: str | None
) -> None:
    assert content_md5(Entry("a", 1, None, version, checksums), version) == expected


async def test_several_part_sizes_are_computed_in_one_read(tmp_path: Path) -> None:
    data = b"0123456789" * 2 * MIB
    store = FsspecStore.from_url(str(tmp_path), part_bytes=3 * MIB)
    await store.set("a", Buffer.from_bytes(data))
    (entry,) = [entry async for entry in store.list_entries()]
    found = await composite_md5s(store, entry, [MIB, 5 * MIB, 64 * MIB])
    assert found == [composite(data, size) for size in (MIB, 5 * MIB, 64 * MIB)]


async def test_a_value_that_is_gone_or_changed_does_not_match(tmp_path: Path) -> None:
    store = FsspecStore.from_url(str(tmp_path))
    values = {f"{number}": b"%d" % number for number in range(20)} | {"large": bytes(3 * MIB)}
    for key, value in values.items():
        await store.set(key, Buffer.from_bytes(value))
    checks = [
        Check(store, entry, "md5", hashlib.md5(values[entry.key], usedforsecurity=False).digest())
        async for entry in store.list_entries()
    ]
    await store.delete("7")
    await store.set("8", Buffer.from_bytes(b"other"))
    found = dict(zip((check.entry.key for check in checks), await matching(checks), strict=True))
    assert [key for key, matches in found.items() if not matches] == ["7", "8"]
