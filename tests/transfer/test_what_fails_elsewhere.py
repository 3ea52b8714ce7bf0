"""What other programs for copies of data sets got wrong.

The table in ``docs/failures-elsewhere.md`` has each failure with its test. Tests
that need a service are in ``test_failing_services.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.scripted_s3 import Asked, Reply, error, scripted_s3, value

from fsspec_store import FsspecStore
from fsspec_store._store.entries import Entry
from fsspec_store.errors import RefusedError
from fsspec_store.transfer import Plan, apply, copy, plan, sync, verify

from .stores import ARRAY, contents, filled, listing, recording, store_with

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
DAY = 86_400


def age(folder: Path, seconds: float) -> None:
    """Make all files of a folder older by some seconds."""
    for path in folder.rglob("*"):
        if path.is_file():
            time = path.stat().st_mtime - seconds
            os.utime(path, (time, time))


# -- Times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("older", [-DAY, 0, DAY])
async def test_an_edit_of_equal_size_is_found_whatever_its_time(
    tmp_path: Path, older: float
) -> None:
    source = await filled(FsspecStore.from_url(str(tmp_path / "source")), ARRAY)
    target = FsspecStore.from_url(str(tmp_path / "target"))
    await sync(source, target)
    chunk = tmp_path / "source/air/c/0/1"
    chunk.write_bytes(b"chunk X")
    time = (tmp_path / "target/air/c/0/1").stat().st_mtime - older
    os.utime(chunk, (time, time))
    result = await sync(source, target)
    assert (result.copied, result.equal) == (1, len(ARRAY) - 1)
    assert (await contents(target))["air/c/0/1"] == b"chunk X"


@pytest.mark.parametrize("older", [-DAY, DAY])
async def test_nothing_is_copied_from_a_fresh_checkout(tmp_path: Path, older: float) -> None:
    source = await filled(FsspecStore.from_url(str(tmp_path / "source")), ARRAY)
    target = FsspecStore.from_url(str(tmp_path / "target"))
    await sync(source, target)
    age(tmp_path / "source", older)
    for compare in ("checksum", "bytes", "size"):
        result = await sync(source, target, compare=compare)
        assert (result.copied, result.equal) == (0, len(ARRAY))
    # The reason why times are not the default.
    copied = len(ARRAY) if older < 0 else 0
    assert (await sync(source, target, compare="mtime")).copied == copied


@pytest.mark.parametrize(
    ("source", "target", "is_copied"),
    [
        (NOON, NOON + timedelta(seconds=5), False),
        (NOON + timedelta(microseconds=2), NOON + timedelta(microseconds=1), True),
        (NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2), False),
        # The service of the target cuts off 0.7 s.
        (NOON + timedelta(seconds=0.7), NOON, True),
        # The service of the source cuts off up to a second: the edit may be after the copy.
        (NOON, NOON + timedelta(seconds=0.3), True),
        (NOON, NOON + timedelta(seconds=1), False),
        (None, NOON, True),
        (NOON, None, True),
    ],
)
async def test_times_of_services_that_cut_off_parts_of_a_second(
    source: datetime | None, target: datetime | None, is_copied: bool
) -> None:
    ours = await listing({"k": b"new"}, lambda entry: replace(entry, modified=source))
    theirs = await listing({"k": b"old"}, lambda entry: replace(entry, modified=target))
    differences = (await verify(ours, theirs, compare="mtime")).differences
    assert [one.key for one in differences] == (["k"] if is_copied else [])


@pytest.mark.parametrize("skew", [timedelta(days=-1), timedelta(days=1)])
async def test_a_clock_that_is_wrong_hides_no_edit(skew: timedelta) -> None:
    def stated(entry: Entry) -> Entry:
        assert entry.modified is not None
        return replace(entry, modified=entry.modified + skew)

    source = await store_with({"k": b"new", "same": b"same"})
    target = await listing({"k": b"old", "same": b"same"}, stated)
    assert [one.key for one in (await verify(source, target)).differences] == ["k"]


# -- ETags -----------------------------------------------------------------------------------------

VALUE, OTHER = b"a value", b"another"
assert len(VALUE) == len(OTHER)
MD5 = md5(VALUE).hexdigest()
LISTED = f"""<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>x/k</Key>
<LastModified>2026-01-02T12:00:00.000Z</LastModified><ETag>{{etag}}</ETag><Size>{len(VALUE)}</Size>
</Contents></ListBucketResult>"""


def with_version(text: str) -> Callable[[Entry], Entry]:
    return lambda entry: replace(entry, version=text)


@pytest.mark.parametrize("ours", [f'"{MD5}"', MD5])
@pytest.mark.parametrize("theirs", [f'"{MD5}"', MD5])
async def test_an_etag_is_the_same_with_and_without_quotes(ours: str, theirs: str) -> None:
    source = await listing({"k": VALUE}, with_version(ours))
    target = await listing({"k": VALUE}, with_version(theirs))
    result = await verify(source, target)
    assert (result.equal, result.failed) == (1, 0)
    assert source.read == target.read == []


@pytest.mark.parametrize("theirs", [f'"{MD5}"', MD5])
async def test_an_etag_is_compared_with_a_listed_md5(theirs: str) -> None:
    digest = bytes.fromhex(MD5)
    source = await listing({"k": VALUE}, lambda entry: replace(entry, checksums={"md5": digest}))
    target = await listing({"k": VALUE}, with_version(theirs))
    assert (await verify(source, target)).equal == 1
    assert (await verify(target, source)).equal == 1
    assert source.read == target.read == []


@pytest.mark.parametrize("ours", [f'"{MD5}-2"', f"{MD5}-2"])
@pytest.mark.parametrize("theirs", [f'"{MD5}-2"', f"{MD5}-3", f'"{MD5}"'])
async def test_an_etag_of_an_upload_in_parts_is_compared_with_its_own_kind(
    ours: str, theirs: str
) -> None:
    """It is the MD5 of the MD5s of the parts: an equal one proves equal bytes, another nothing."""
    source = await listing({"k": VALUE}, with_version(ours))
    target = await listing({"k": VALUE}, with_version(theirs))
    assert (await verify(source, target)).equal == 1
    is_read = ours.strip('"') != theirs.strip('"')
    assert bool(source.read or target.read) == is_read


@pytest.mark.parametrize("version", [f'W/"{MD5}"', f'W/"{MD5}-2"', '"0x8D"', '""', ""])
async def test_an_etag_that_is_no_md5_proves_nothing(version: str) -> None:
    """A weak one, and one that is no digest."""
    for data, equal in ((VALUE, 1), (OTHER, 0)):
        source = await listing({"k": data}, with_version(version))
        target = await listing({"k": VALUE}, with_version(version))
        result = await verify(source, target)
        assert (result.equal, result.failed) == (equal, 0)


@pytest.mark.parametrize("etag", [f'"{MD5}"', f'"{MD5}-1"'])
async def test_an_etag_of_another_service_than_s3_is_no_md5(etag: str) -> None:
    """WebDAV and web servers may make it of the name, the size and the time."""
    other = await listing({"k": OTHER}, with_version(etag), is_s3=False)
    source = await listing({"k": VALUE}, with_version(etag), is_s3=False)
    s3 = await listing({"k": VALUE}, with_version(etag))
    for ours in (source, s3, await store_with({"k": VALUE})):
        assert [one.key for one in (await verify(ours, other)).differences] == ["k"]
        assert [one.key for one in (await verify(other, ours)).differences] == ["k"]


@pytest.mark.parametrize("parts", [1, 2])
async def test_the_etag_of_a_multipart_upload_is_no_md5(parts: int) -> None:
    source = await store_with({"k": VALUE})
    target = await listing({"k": OTHER}, with_version(f'"{MD5}-{parts}"'))
    assert [one.key for one in (await verify(source, target)).differences] == ["k"]
    assert [one.key for one in (await verify(target, source)).differences] == ["k"]


async def test_another_etag_does_not_prove_a_difference() -> None:
    """An ETag in the form of an MD5 may be another digest, as of an encrypted object."""
    source = await listing({"k": VALUE}, with_version(f'"{MD5}"'))
    target = await listing({"k": VALUE}, with_version(f'"{md5(OTHER).hexdigest()}"'))
    assert (await verify(source, target)).equal == 1


#: Of two parts: the request for the second one has a condition.
PART = 5 * 2**20
LARGE = bytes(PART + 1)
LARGE_MD5 = md5(LARGE).hexdigest()


def of_large_value(asked: Asked, listed: str) -> Reply:
    """A listing of the large value, with the ETag in this form, or a part of the value."""
    if "list-type" in asked.query:
        page = LISTED.format(etag=listed).replace(f">{len(VALUE)}<", f">{len(LARGE)}<")
        return Reply(200, page.encode())
    start, end = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
    body = LARGE[start : end + 1]
    content_range = f"bytes {start}-{start + len(body) - 1}/{len(LARGE)}"
    return Reply(206, body, {"ETag": f'"{LARGE_MD5}"', "Content-Range": content_range})


@pytest.mark.parametrize("listed", ["&quot;{}&quot;", '"{}"', "{}"])
async def test_a_listed_etag_without_quotes_is_sent_with_them(listed: str, tmp_path: Path) -> None:
    """A condition without quotes is never met."""

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("if-match", f'"{LARGE_MD5}"') != f'"{LARGE_MD5}"':
            return error(412, "PreconditionFailed")
        return of_large_value(asked, listed.format(LARGE_MD5))

    async with scripted_s3(answer) as server:
        source = FsspecStore.from_url("s3://bucket/x", server.options(), part_bytes=PART)
        async with source:
            target = FsspecStore.from_url(str(tmp_path))
            result = await copy(source, target)
            assert result.ok, result.failures
            assert (await copy(source, target)).equal == 1
    conditions = [each.headers.get("if-match") for each in server.seen if each.path.endswith("/k")]
    assert conditions == [None, f'"{LARGE_MD5}"']


async def test_an_etag_that_never_matches_is_not_requested_for_ever(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        if "if-match" in asked.headers:
            return error(412, "PreconditionFailed")
        return of_large_value(asked, f'"{LARGE_MD5}"')

    async with scripted_s3(answer) as server:
        source = FsspecStore.from_url("s3://bucket/x", server.options(), part_bytes=PART)
        async with source:
            result = await copy(source, FsspecStore.from_url(str(tmp_path)))
    assert [one.key for one in result.failures] == ["k"]
    assert "VersionMismatchError" in result.failures[0].error
    conditions = [each.headers.get("if-match") for each in server.seen if each.path.endswith("/k")]
    assert conditions == [None, f'"{LARGE_MD5}"']


async def test_another_etag_than_the_listed_one_is_a_failure(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        if "list-type" in asked.query:
            return Reply(200, LISTED.format(etag=f'"{MD5}"').encode())
        return value(VALUE)

    async with scripted_s3(answer) as server:
        source = FsspecStore.from_url("s3://bucket/x", server.options())
        async with source:
            result = await copy(source, FsspecStore.from_url(str(tmp_path)))
    assert [one.key for one in result.failures] == ["k"]
    assert "VersionMismatchError" in result.failures[0].error
    assert sum(each.path.endswith("/k") for each in server.seen) == 1


# -- Counts, and a second run ----------------------------------------------------------------------

KEYS = ["zarr.json", "a/zarr.json", "a/c/0", "a/c/1", "b/.zarray", "b/0.0"]
VALUES = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([b"", b"one", b"two"]))


@given(VALUES, VALUES, st.sets(st.sampled_from(KEYS)))
async def test_the_counts_of_each_run_add_up(
    ours: dict[str, bytes], theirs: dict[str, bytes], denied: set[str]
) -> None:
    source = await store_with(ours)
    target = await filled(recording(), theirs)
    target.denied = frozenset(denied)
    first = await sync(source, target, max_delete=1.0, allow_empty=True)
    target.denied = frozenset()
    second = await sync(source, target, max_delete=1.0, allow_empty=True)
    for result in (first, second):
        assert result.listed == result.equal + result.planned
        done = result.copied + result.deleted
        undone = result.failed + result.held_back + result.deletes_skipped
        assert result.planned == done + undone
        assert result.ok is not bool(undone)
    # The second run counts what it does, and not what the first one did.
    assert second.ok
    assert second.equal == first.equal + first.copied
    assert second.copied == len(ours) - second.equal
    assert second.copied_bytes == first.planned_bytes - first.copied_bytes
    assert first.deleted + second.deleted == len(theirs.keys() - ours.keys())
    assert await contents(target) == ours


async def test_only_what_failed_is_copied_again(tmp_path: Path) -> None:
    source, target = await store_with(ARRAY), recording("air/c/0/1")
    first = await copy(source, target)
    assert {one.key for one in first.not_copied} == {"air/c/0/1", "air/zarr.json", "zarr.json"}
    with Plan.of(source, target, first.not_copied) as left:
        left.write(tmp_path / "left.jsonl")
    target.denied = frozenset()
    target.events.clear()
    with Plan.read(tmp_path / "left.jsonl") as left:
        second = await apply(left, source, target)
    assert second.ok
    assert target.events == ["copy air/c/0/1", "copy air/zarr.json", "copy zarr.json"]
    assert await contents(target) == ARRAY


# -- Links in local folders ------------------------------------------------------------------------


@pytest.mark.parametrize("linked", ["file", "folder"])
@pytest.mark.parametrize("is_target_local", [True, False])
async def test_a_broken_link_in_the_source_deletes_nothing(
    tmp_path: Path, linked: str, is_target_local: bool
) -> None:
    source = await filled(FsspecStore.from_url(str(tmp_path / "source")), ARRAY)
    outside = await filled(FsspecStore.from_url(str(tmp_path / "outside")), {"folder/1": b"value"})
    (tmp_path / "outside/file").write_bytes(b"value")
    link = tmp_path / "source/air/c/0/2"
    link.symlink_to(tmp_path / "outside" / linked)
    local = FsspecStore.from_url(str(tmp_path / "target"))
    target = local if is_target_local else await store_with({})
    assert (await sync(source, target)).ok
    before = await contents(target)
    await outside.clear()
    for compare in ("checksum", "size"):
        result = await sync(source, target, compare=compare)
        assert [one.key for one in result.failures] == ["air/c/0/2"]
        assert "is a broken link" in result.failures[0].error
        assert (result.deleted, result.ok) == (0, False)
        assert await contents(target) == before
    # A listing of readable keys leaves it out.
    assert sorted(await contents(source)) == sorted(ARRAY)
    # In the target it is replaced or deleted.
    values = await store_with(ARRAY)
    assert (await sync(values, source)).deleted == 1
    assert not link.is_symlink()


@pytest.mark.parametrize("is_planned", [False, True])
async def test_nothing_is_deleted_through_a_link_to_a_folder(
    tmp_path: Path, is_planned: bool
) -> None:
    source = await store_with(ARRAY)
    values = {"a": b"1", "b/c": b"2"}
    outside = await filled(FsspecStore.from_url(str(tmp_path / "outside")), values)
    await filled(FsspecStore.from_url(str(tmp_path / "target")), ARRAY)
    (tmp_path / "target/air/link").symlink_to(tmp_path / "outside")
    # The root may be a link.
    (tmp_path / "alias").symlink_to(tmp_path / "target")
    for name in ("target", "alias"):
        target = await filled(FsspecStore.from_url(str(tmp_path / name)), {"old": b"1"})
        if is_planned:
            with await plan(source, target, delete=True) as planned:
                result = await apply(planned, source, target, max_delete=1.0)
        else:
            result = await sync(source, target, max_delete=1.0)
        assert result.deleted == 1
        assert {one.key for one in result.failures} == {"air/link/a", "air/link/b/c"}
        assert "through a link to a folder" in result.failures[0].error
        assert await contents(outside) == values
        assert (await sync(source, target, exclude=["air/link/**"])).ok


# -- One store within the other one ----------------------------------------------------------------


@pytest.mark.parametrize("is_target_below", [True, False])
@pytest.mark.parametrize("function", [copy, sync, plan])
async def test_a_store_within_the_other_one_is_refused(
    function: Any, is_target_below: bool, tmp_path: Path
) -> None:
    for url in (str(tmp_path / "a"), (await store_with({})).url):
        outer = await filled(FsspecStore.from_url(url), {**ARRAY, "b [1]/inner": b"1"})
        inner = FsspecStore.from_url(f"{url}/b [1]")
        stores = (outer, inner) if is_target_below else (inner, outer)
        before = await contents(outer)
        with pytest.raises(RefusedError, match=r"is a part of .*exclude='b \[\[\]1\]/\*\*'"):
            await function(*stores)
        assert await contents(outer) == before
        result = await copy(*stores, exclude=["b [[]1]/**"])
        assert result.ok
        assert result.copied == (len(ARRAY) if is_target_below else 1)
        again = await copy(*stores, exclude=["b [[]1]/**"])
        assert (again.copied, again.equal) == (0, result.copied + result.equal)


@pytest.mark.parametrize("is_target_below", [True, False])
async def test_a_link_to_a_folder_within_the_other_store_is_refused(
    tmp_path: Path, is_target_below: bool
) -> None:
    outer = await filled(FsspecStore.from_url(str(tmp_path / "outer")), {**ARRAY, "sub/a": b"1"})
    (tmp_path / "alias").symlink_to(tmp_path / "outer/sub")
    (tmp_path / "outer/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    before = await contents(outer)
    for inner, pattern in (("alias", "sub/**"), ("outer/link", "link/**")):
        stores = (outer, FsspecStore.from_url(str(tmp_path / inner)))
        with pytest.raises(RefusedError, match=re.escape(f"exclude='{pattern}'")):
            await sync(*stores if is_target_below else stores[::-1], max_delete=1.0)
    assert await contents(outer) == before


async def test_prefixes_side_by_side_do_not_overlap() -> None:
    first = await store_with(ARRAY)
    for name in ("", "-2"):
        target = FsspecStore.from_url(f"{first.url}{name}")
        copied = 0 if target == first else len(ARRAY)
        assert (await sync(first, target)).copied == copied
        assert await contents(target) == await contents(first) == ARRAY
