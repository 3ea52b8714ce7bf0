"""What each service lists besides sizes, and the forms of times, ETags and digests."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from conformance.support import collect, put

from fsspec_store import FsspecStore
from fsspec_store._backends.listed_details import digest, etag, http_date, iso_time
from fsspec_store._core.versions import is_etag

_roots = itertools.count()


def s3(endpoint: Any, **options: Any) -> FsspecStore:
    url = f"s3://{endpoint.make_bucket()}"
    return FsspecStore.from_url(url, endpoint.storage_options(), **options)


def google(endpoint: Any) -> FsspecStore:
    return FsspecStore.from_url(f"gs://{endpoint.make_bucket()}", endpoint.storage_options())


def azure(endpoint: Any) -> FsspecStore:
    return FsspecStore.from_url(f"az://{endpoint.make_container()}", endpoint.storage_options())


def webdav(endpoint: Any) -> FsspecStore:
    url = f"webdav://details/{next(_roots)}"
    return FsspecStore.from_url(url, endpoint.storage_options())


SERVICES: dict[str, tuple[str, Callable[[Any], FsspecStore], Callable[[str], bool], set[str]]] = {
    "seaweedfs": ("seaweedfs_endpoint", s3, is_etag, set()),
    "minio": ("minio_endpoint", s3, is_etag, set()),
    "minio by s3fs": ("minio_endpoint", partial(s3, transport="library"), is_etag, set()),
    "google": ("fake_gcs_endpoint", google, str.isdecimal, {"md5", "crc32c"}),
    "azure": ("azurite_endpoint", azure, is_etag, {"md5"}),
    "webdav": ("apache_endpoint", webdav, is_etag, set()),
}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_lists_times_versions_and_checksums(
    request: pytest.FixtureRequest, service: str
) -> None:
    fixture, open_, is_version, checksums = SERVICES[service]
    async with open_(request.getfixturevalue(fixture)) as store:
        await put(store, "a", "b/c", "b/d e")
        for entry in await collect(store.list_entries()):
            assert entry.modified is not None
            assert abs(datetime.now(UTC) - entry.modified) < timedelta(minutes=5)
            assert entry.version is not None
            assert is_version(entry.version)
            assert entry.checksums.keys() == checksums


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-12-01T10:00:00.125Z", datetime(2024, 12, 1, 10, 0, 0, 125_000, UTC)),
        ("2024-12-01T10:00:00.123456789Z", datetime(2024, 12, 1, 10, 0, 0, 123_456, UTC)),
        ("2024-12-01T10:00:00", datetime(2024, 12, 1, 10, tzinfo=UTC)),
        ("2024-12-01T12:00:00+02:00", datetime(2024, 12, 1, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_of_rfc_3339(text: str | None, time: datetime | None) -> None:
    assert iso_time(text) == time
    assert time is None or iso_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sun, 06 Nov 1994 08:49:37 EST", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Noo 1994 08:49:37 GMT", None),
        (f"Sun, 06 Nov {10**20} 08:49:37 GMT", None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        (None, None),
    ],
)
def test_dates_of_http(text: str | None, time: datetime | None) -> None:
    assert http_date(text) == time


def test_etags_have_quotes() -> None:
    assert etag("0x8D") == etag('"0x8D"') == '"0x8D"'
    assert etag('W/"a"') == 'W/"a"'
    assert etag("") is etag(None) is etag('a"') is etag("a b") is None


def test_digests_have_their_size() -> None:
    assert digest("AAAAAA==", 4) == bytes(4)
    assert (
        digest("AAAAAA==", 16) is digest("AAAA*AA=", 4) is digest("", 4) is digest(None, 4) is None
    )
