"""The contract on WebDAV servers, and WebDAV's special cases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from conformance import Limits, StoreConformance
from servers.webdav import WebDAVEndpoint

from fsspec_store import FsspecStore

_roots = itertools.count()
_FILES = {
    "key_beside_children": "a name is a file or a collection, not both",
    "long_names": "a file's name has at most 255 bytes",
    "prefix_gone_at_once": "an empty collection stays",
    "compare_and_swap": "servers compute ETags from the time in seconds and the size",
}
_REMOVES_FIRST = "a MOVE removes its destination first"


class WebDAVConformance(StoreConformance):
    server: ClassVar[str]

    @pytest.fixture
    def endpoint(self, request: pytest.FixtureRequest) -> WebDAVEndpoint:
        endpoint: WebDAVEndpoint = request.getfixturevalue(self.server)
        return endpoint

    @pytest.fixture
    def make_store(self, endpoint: WebDAVEndpoint) -> Iterator[Any]:
        root = f"conformance/{next(_roots)}"
        made = []

        def make(below: str = "", **options: Any) -> FsspecStore:
            url = f"webdav://{root}/{below}".rstrip("/")
            made.append(FsspecStore.from_url(url, endpoint.storage_options(), **options))
            return made[-1]

        yield make
        for store in made:
            store.close()


class TestApache(WebDAVConformance):
    service = "Apache"
    server = "apache_endpoint"
    limits = Limits(**_FILES, examples=20, many=60)


class TestRclone(WebDAVConformance):
    service = "rclone"
    server = "rclone_webdav_endpoint"
    limits = Limits(**_FILES, atomic_replace=_REMOVES_FIRST, examples=20, many=60)


class TestWsgidav(WebDAVConformance):
    service = "wsgidav"
    server = "wsgidav_endpoint"
    limits = Limits(
        **_FILES,
        atomic_replace=_REMOVES_FIRST,
        query_characters="the server cuts the destination of a MOVE off at ? and ;",
        examples=20,
        many=60,
    )
