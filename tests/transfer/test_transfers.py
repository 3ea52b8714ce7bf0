"""Copy, sync, verify and remove between stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import Buffer, FsspecStore
from fsspec_store.contract import Entry
from fsspec_store.errors import AccessDeniedError, RefusedError
from fsspec_store.transfer import Plan, apply, copy, plan, remove, sync, verify

from .stores import ARRAY, contents, filled, listing, recording, store_with, unreadable

VALUES = st.dictionaries(
    st.sampled_from(["zarr.json", "a/zarr.json", "a/c/0", "a-b/c/0", "b/.zarray", "b/0.0"]),
    st.sampled_from([b"", b"one", b"two", b"three"]),
)


@given(VALUES, VALUES)
async def test_after_a_sync_both_stores_are_equal(
    ours: dict[str, bytes], theirs: dict[str, bytes]
) -> None:
    source, target = await store_with(ours), await store_with(theirs)
    result = await sync(source, target, max_delete=1.0, allow_empty=True)
    assert await contents(target) == await contents(source) == ours
    differing = {key for key in ours if theirs.get(key) != ours[key]}
    assert result.ok
    assert result.copied == len(differing)
    assert result.copied_bytes == sum(len(ours[key]) for key in differing)
    assert result.deleted == len(theirs.keys() - ours.keys())
    assert result.equal == len(ours) - len(differing)
    again = await sync(source, target, allow_empty=True)
    assert (again.copied, again.deleted, again.equal) == (0, 0, len(ours))


@given(VALUES, VALUES)
async def test_a_plan_has_what_a_sync_does(
    ours: dict[str, bytes], theirs: dict[str, bytes]
) -> None:
    source, target = await store_with(ours), await store_with(theirs)
    with await plan(source, target, delete=True, allow_empty=True) as planned:
        reasons = {one.key: one.reason for one in planned}
        assert await contents(target) == theirs
        result = await apply(planned, source, target, max_delete=1.0)
    assert await contents(target) == ours
    assert result.ok
    for key in ours.keys() | theirs.keys():
        if key not in theirs:
            assert reasons[key] == "missing"
        elif key not in ours:
            assert reasons[key] == "extra"
        elif ours[key] == theirs[key]:
            assert key not in reasons
        elif len(ours[key]) != len(theirs[key]):
            assert reasons[key] == "size"
        else:
            assert reasons[key] in ("checksum", "bytes")


async def test_metadata_is_written_after_the_chunks_and_deleted_before_them() -> None:
    source, target = await store_with(ARRAY), recording()
    await sync(source, target)
    position = {event: number for number, event in enumerate(target.events)}
    chunks = {position["copy air/c/0/0"], position["copy air/c/0/1"]}
    arrays = {position["copy air/zarr.json"], position["copy air-raw/zarr.json"]}
    assert max(chunks) < min(arrays)
    assert max(arrays) < position["copy zarr.json"]
    target.events.clear()
    await remove(target, max_delete=1.0)
    assert target.events[0] == "delete zarr.json"
    assert set(target.events[-2:]) == {"delete air/c/0/0", "delete air/c/0/1"}
    assert await contents(target) == {}


async def test_a_failed_chunk_holds_back_its_metadata_and_all_deletes() -> None:
    source, target = await store_with(ARRAY), recording("air/c/0/1")
    await target.set("extra", Buffer.from_bytes(b"x"))
    result = await sync(source, target, max_delete=1.0)
    assert not result.ok
    assert [failure.key for failure in result.failures] == ["air/c/0/1"]
    assert "AccessDeniedError" in result.failures[0].error
    # The array's and the group's. The other array is complete.
    assert result.held_back == 2
    assert result.deletes_skipped == 1
    assert await contents(target) == {
        "extra": b"x",
        "air/c/0/0": b"chunk 0",
        "air-raw/zarr.json": b"other",
    }
    target.denied = frozenset()
    assert (await sync(source, target)).copied == 3
    assert await contents(target) == ARRAY


async def test_a_chunk_that_cannot_be_compared_holds_back_its_metadata_and_all_deletes() -> None:
    source, old = await filled(unreadable("air/c/0/1"), ARRAY), dict.fromkeys(ARRAY, b"old")
    old |= {"air/c/0/1": b"CHUNK 1", "extra": b"x"}
    target = await store_with(old)
    with pytest.raises(AccessDeniedError, match="air/c/0/1"):
        await copy(source, target, fail_fast=True)
    result = await sync(source, target)
    assert [(one.key, one.action) for one in result.failures] == [("air/c/0/1", "compare")]
    assert (result.held_back, result.deletes_skipped) == (2, 1)
    copied = {key: ARRAY[key] for key in ("air/c/0/0", "air-raw/zarr.json")}
    assert await contents(target) == old | copied
    source.denied = frozenset()
    assert (await sync(source, target)).ok
    assert await contents(target) == ARRAY


@pytest.mark.parametrize("target_url", ["memory://transfer/rewritten", "{}/target"])
async def test_a_file_of_another_size_than_listed_is_not_copied(
    tmp_path: Path, target_url: str
) -> None:
    class Rewritten(FsspecStore):
        """A file is empty after its listing: another program writes it again."""

        async def list_entries(
            self, prefix: str = "", **options: Any
        ) -> AsyncGenerator[Entry, None]:
            async for entry in super().list_entries(prefix, **options):
                (tmp_path / "source" / "k").write_bytes(b"")
                yield entry

    source = await filled(Rewritten.from_url(str(tmp_path / "source")), {"k": b"value"})
    target = FsspecStore.from_url(target_url.format(tmp_path))
    result = await copy(source, target)
    assert [one.key for one in result.failures] == ["k"]
    assert "VersionMismatchError" in result.failures[0].error
    assert "from 5 to 0 bytes" in result.failures[0].error
    assert not await target.exists("k")
    assert (await copy(source, target)).ok


FILE = {"a": b"1", "b": b"1", "c": b"1", "zarr.json": b"1"}
FOLDER = {"a/b": b"1", "a/zarr.json": b"1", "b": b"1", "c": b"1", "zarr.json": b"2"}
METADATA = {"a/zarr.json": b"1", "b": b"1", "c": b"1", "zarr.json": b"2"}


@pytest.mark.parametrize("is_planned", [False, True])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(FILE, FOLDER), (FOLDER, FILE), (METADATA, FILE)],
    ids=["file", "folder", "metadata"],
)
async def test_a_file_replaces_a_folder_and_the_reverse(
    tmp_path: Path, ours: dict[str, bytes], theirs: dict[str, bytes], is_planned: bool
) -> None:
    source = await store_with(ours)
    target = await filled(FsspecStore.from_url(str(tmp_path)), {**theirs, "extra": b""})
    deletes = len(theirs.keys() - ours.keys()) + 1
    # Neither without deletes, nor with fewer than all.
    assert "KeyConflictError" in (await copy(source, target)).failures[0].error
    with pytest.raises(RefusedError):
        await sync(source, target, max_delete=deletes - 1)
    assert theirs.keys() - ours.keys() < set(await contents(target))
    if is_planned:
        with await plan(source, target, delete=True) as planned:
            result = await apply(planned, source, target, max_delete=deletes)
    else:
        result = await sync(source, target, max_delete=deletes, fail_fast=True)
    assert (result.ok, result.deleted) == (True, deletes)
    assert await contents(target) == ours


async def test_a_failed_copy_keeps_the_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    source = await filled(unreadable("c"), FILE)
    target = await filled(FsspecStore.from_url(str(tmp_path)), FOLDER | {"c": b"2"})
    result = await sync(source, target, compare="bytes", max_delete=1.0)
    assert {one.key for one in result.failures} == {"a", "c"}
    assert (result.deleted, result.deletes_skipped) == (0, 2)
    assert await contents(target) == FOLDER | {"c": b"2"}


async def test_fail_fast_raises_the_first_failure() -> None:
    source = await store_with(ARRAY)
    with pytest.raises(AccessDeniedError, match="air/c/0/0"):
        await copy(source, recording("air/c/0/0"), fail_fast=True)


@pytest.mark.parametrize("function", [sync, copy, plan])
async def test_an_empty_source_changes_nothing(function: object, tmp_path: Path) -> None:
    target = await store_with(ARRAY)
    for source in (
        FsspecStore.from_url("memory://transfer/mistyped"),
        FsspecStore.from_url(str(tmp_path / "mistyped")),
    ):
        with pytest.raises(RefusedError, match="has no key"):
            await function(source, target)  # type: ignore[operator]
    with pytest.raises(RefusedError, match="has no selected key"):
        await function(target, target, include=["nothing"])  # type: ignore[operator]
    assert await contents(target) == ARRAY


async def test_more_deletes_than_allowed_change_nothing() -> None:
    source, target = await store_with({"new": b"1"}), await store_with(ARRAY)
    with pytest.raises(RefusedError, match="5 of 5 keys would be deleted, and at most 50%"):
        await sync(source, target)
    with pytest.raises(RefusedError, match="at most 4 may be"):
        await sync(source, target, max_delete=4)
    # Neither is anything copied: then a second run would find a smaller share to delete.
    assert await contents(target) == ARRAY
    assert (await sync(source, target, max_delete=5)).deleted == 5


async def test_an_interrupted_apply_is_finished_by_the_next_one() -> None:
    source, target = await store_with(ARRAY), await store_with({"old": b"1", "older": b"2"})
    with await plan(source, target, delete=True) as planned:
        # As after an interruption.
        await copy(source, target, include=["air/c/**", "air/zarr.json"])
        await target.delete("old")
        seen: list[tuple[int, int, int]] = []
        result = await apply(
            planned,
            source,
            target,
            max_delete=1.0,
            on_progress=lambda so_far: seen.append((so_far.copied, so_far.deleted, so_far.equal)),
        )
        assert result.ok, result.failures
        assert (result.copied, result.deleted, result.equal) == (2, 1, 4)
        # At the start, and once for each operation, also for those that are done already.
        assert len(seen) == len(set(seen)) == 8
        assert await contents(target) == ARRAY


async def test_an_operation_that_is_not_as_planned_lists_each_key_once() -> None:
    listed: list[str] = []

    def note(entry: Entry) -> Entry:
        listed.append(entry.key)
        return entry

    source = await listing({"done": b"1", "changed": b"2"}, note)
    target = await listing({}, note)
    with await plan(source, target) as planned:
        await filled(target, {"done": b"1", "changed": b"3"})
        listed.clear()
        result = await apply(planned, source, target)
    assert (result.equal, [one.key for one in result.failures]) == (1, ["changed"])
    assert sorted(listed) == ["changed"] * 2 + ["done"] * 2


@pytest.mark.parametrize("max_delete", [float("nan"), -0.1, 1.5, float("inf"), -1, True, "1"])
async def test_an_invalid_bound_of_deletes_changes_nothing(max_delete: Any) -> None:
    source, target = await store_with({"new": b"1"}), await store_with(ARRAY)
    with await plan(source, target, delete=True) as planned:
        for work in (
            sync(source, target, max_delete=max_delete),
            apply(planned, source, target, max_delete=max_delete),
            remove(target, max_delete=max_delete),
        ):
            with pytest.raises(ValueError, match="max_delete must be"):
                await work
    assert await contents(target) == ARRAY


async def test_keys_that_are_not_selected_are_neither_copied_nor_deleted() -> None:
    source, target = await store_with(ARRAY), await store_with({"temp/a": b"", "air/old": b""})
    result = await sync(source, target, include=["air/**"], max_delete=1.0)
    assert (result.copied, result.deleted) == (3, 1)
    expected = {key: value for key, value in ARRAY.items() if key.startswith("air/")}
    assert await contents(target) == {"temp/a": b"", **expected}


async def test_edits_of_equal_size_are_found_whatever_the_time(tmp_path: Path) -> None:
    source, target = FsspecStore.from_url(str(tmp_path / "a")), await store_with({"k": b"old"})
    await source.set("k", Buffer.from_bytes(b"new"))
    assert (await sync(source, target, compare="size")).copied == 0
    assert (await sync(source, target)).copied == 1
    assert (await sync(source, target)).copied == 0


async def test_an_atomic_copy_writes_the_root_last() -> None:
    source, target = await store_with(ARRAY), recording()
    result = await copy(source, target, atomic=True)
    assert result.ok
    assert target.events[-1] == "copy zarr.json"
    with pytest.raises(RefusedError, match=r"has 'zarr\.json' at its root"):
        await copy(source, target, atomic=True)
    failing = recording("air-raw/zarr.json")
    assert not (await copy(source, failing, atomic=True)).ok
    assert await failing.get("zarr.json") is None


async def test_a_plan_of_a_changed_store_is_not_applied_to_the_changed_keys() -> None:
    source, target = await store_with(ARRAY), await store_with({"zarr.json": b"old"})
    with await plan(source, target) as planned:
        await target.set("zarr.json", Buffer.from_bytes(b"by another writer"))
        await source.delete("air/c/0/0")
        result = await apply(planned, source, target)
        failed = {failure.key for failure in result.failures}
        with pytest.raises(RefusedError, match="the plan was made for the source"):
            await apply(planned, target, source)
    assert failed == {"air/c/0/0"}
    # The root's metadata is held back, and would have failed too.
    assert await target.get("zarr.json") == Buffer.from_bytes(b"by another writer")
    assert "air/c/0/1" in await contents(target)


@pytest.mark.parametrize("changed", ["source", "target"])
async def test_a_plan_leaves_values_that_were_changed_since(changed: str) -> None:
    key = "air/c/0/1"
    stores = {"source": await store_with(ARRAY), "target": await store_with({key: b"old"})}
    with await plan(**stores) as planned:
        await stores[changed].set(key, Buffer.from_bytes(b"by another writer"))
        result = await apply(planned, **stores)
    assert [failure.key for failure in result.failures] == [key]
    assert "has changed since the plan was made" in result.failures[0].error
    expected = b"old" if changed == "source" else b"by another writer"
    assert (await contents(stores["target"]))[key] == expected


async def test_a_plan_does_not_delete_a_key_that_the_source_has_again() -> None:
    source, target = await store_with(ARRAY), await store_with({**ARRAY, "air/c/9/9": b"extra"})
    with await plan(source, target, delete=True) as planned:
        await source.set("air/c/9/9", Buffer.from_bytes(b"extra"))
        result = await apply(planned, source, target)
    assert (result.deleted, result.failed) == (0, 1)
    assert "has changed since the plan was made" in result.failures[0].error
    assert await contents(target) == await contents(source)


async def test_verify_changes_nothing() -> None:
    source, target = await store_with(ARRAY), await store_with({**ARRAY, "zarr.json": b"gruop"})
    await target.delete("air/c/0/0")
    await target.set("extra", Buffer.from_bytes(b""))
    before = await contents(target)
    result = await verify(source, target)
    assert not result.ok
    assert {one.key: one.reason for one in result.differences} == {
        "zarr.json": "checksum" if result.differences[0].reason == "checksum" else "bytes",
        "air/c/0/0": "missing",
        "extra": "extra",
    }
    assert result.equal == 3
    assert await contents(target) == before
    assert (await verify(source, source)).ok


async def test_a_prefix_is_removed_and_no_other() -> None:
    store = await store_with(ARRAY)
    with pytest.raises(RefusedError, match="3 of 3 keys would be deleted"):
        await remove(store, "air")
    assert (await remove(store, "air", max_delete=3)).deleted == 3
    assert set(await contents(store)) == {"zarr.json", "air-raw/zarr.json"}


async def test_keys_that_cannot_be_deleted_are_listed_and_the_others_deleted() -> None:
    store = recording("air/c/0/0", "air/zarr.json")
    for key, value in ARRAY.items():
        await store.set(key, Buffer.from_bytes(value))
    result = await remove(store, "air", max_delete=1.0)
    assert {(one.action, one.key) for one in result.failures} == {
        ("delete", "air/c/0/0"),
        ("delete", "air/zarr.json"),
    }
    assert (result.deleted, result.failed) == (1, 2)
    assert "air/c/0/1" not in await contents(store)
    # Chunks are deleted last, also after a failure.
    assert store.events[-1] == "delete air/c/0/1"


class Listed(FsspecStore):
    """Notes the end of a listing."""

    listed: asyncio.Event

    async def list_entries(self, prefix: str = "", **options: Any) -> AsyncGenerator[Entry, None]:
        async with aclosing(super().list_entries(prefix, **options)) as entries:
            async for entry in entries:
                yield entry
        self.listed.set()


class Waiting(FsspecStore):
    """Copies keys when a source is listed."""

    listed: asyncio.Event

    async def _copy(self, *arguments: Any) -> None:
        await self.listed.wait()
        await super()._copy(*arguments)


async def test_the_listing_does_not_wait_for_copies() -> None:
    source = Listed.from_url("memory://transfer/listed")
    target = Waiting.from_url("memory://transfer/waiting")
    source.listed = target.listed = asyncio.Event()
    for number in range(1000):
        await source.set(f"c/{number}", Buffer.from_bytes(b"1"))
    async with asyncio.timeout(60):
        assert (await copy(source, target, concurrency=2)).copied == 1000


async def test_progress_is_reported() -> None:
    seen: list[tuple[int, bool]] = []
    source, target = await store_with(ARRAY), recording()
    await sync(
        source, target, on_progress=lambda so_far: seen.append((so_far.copied, so_far.is_listed))
    )
    assert [count for count, _ in seen] == [0, 1, 2, 3, 4, 5]
    assert seen[-1] == (5, True)


async def test_progress_is_reported_for_keys_without_an_operation() -> None:
    """Each key is reported once: equal ones, extra ones that stay, and failures.

    All but `plan` report the start too.
    """
    source = await filled(unreadable("air/c/0/0"), ARRAY)
    target = await store_with({**ARRAY, "extra": b"", "air-raw/zarr.json": b"old"})
    for function in (verify, plan, copy):
        counts: list[tuple[int, int]] = []
        options: dict[str, Any] = {
            "compare": "bytes",
            "on_progress": lambda so_far, counts=counts: counts.append(
                (so_far.equal, so_far.failed)
            ),
        }
        result = await function(source, target, **options)
        if isinstance(result, Plan):
            result.close()
        assert len(counts) == len(ARRAY) + (1 if function is plan else 2)
        assert counts[-1] == (3, 1)
