"""Services that support only a part of S3, and servers that do not speak S3."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import pytest
from conformance.support import buf, listed, put, read
from servers import S3Endpoint
from servers.scripted_s3 import Asked, Reply, ScriptedS3, error, scripted_s3, value

from fsspec_store import FsspecStore, RangeByteRequest, StoreError
from fsspec_store.errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    UnauthenticatedError,
)

from .s3_transports import options_of, said

EMPTY_MD5 = '"d41d8cd98f00b204e9800998ecf8427e"'
HTML = {"Content-Type": "text/html; charset=utf-8"}
PAGE = b"<!DOCTYPE html><html><body><h1>Sorry</h1><br></body></html>"
WELL_FORMED = b"<html><body><h1>Sorry</h1></body></html>"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "fsspec_store.s3")
    return caplog


def store_at(server: ScriptedS3, transport: str, root: str = "x", **options: Any) -> FsspecStore:
    options = {"transport": transport, "retries": 0, "timeout": 10, **options}
    return FsspecStore.from_url(f"s3://bucket/{root}", server.options(), **options)


def feature_warnings(log: pytest.LogCaptureFixture) -> list[str]:
    """Logged warnings about unsupported features."""
    return [text for text in said(log) if "from now on" in text]


# -- Unsupported headers ---------------------------------------------------------------------------


def checksums(request: Asked) -> list[str]:
    names = ("x-amz-checksum-", "x-amz-sdk-checksum", "x-amz-trailer")
    return [name for name in request.headers if name.startswith(names)]


ERROR_RESPONSES = [
    error(400, "InvalidArgument"),
    error(400, "UnsupportedHeader"),
    error(501, "NotImplemented"),
    # As behind a proxy that drops signed headers.
    error(403, "SignatureDoesNotMatch"),
    Reply(400),
    Reply(501, PAGE, HTML),
]


@pytest.mark.parametrize(
    "error_response", ERROR_RESPONSES, ids=lambda reply: reply.body[13:40].decode()
)
async def test_checksums_are_omitted_where_unsupported(
    error_response: Reply, transport: str, log: pytest.LogCaptureFixture
) -> None:
    def respond(request: Asked) -> Reply:
        if checksums(request):
            return error_response
        if request.method == "PUT":
            return value(b"")
        return error(404, "NoSuchKey") if request.path.endswith("missing") else value(b"{}")

    async with (
        scripted_s3(respond) as server,
        store_at(server, transport) as store,
        store_at(server, transport, "y") as other,
    ):
        reads = await asyncio.gather(*(read(store, f"c/{number}") for number in range(20)))
        assert reads == [b"{}"] * 20
        assert await read(store, "missing") is None
        before = len(server.seen)
        assert await read(other, "a") == b"{}"
        assert len(server.seen) == before + 1
        first = len(feature_warnings(log))
        await put(store, "a")
        await put(other, "b")
        assert first == 1
        assert feature_warnings(log)[0].startswith(
            f"{server.url} does not support x-amz-checksum-mode"
        )
        # Older releases of botocore send none.
        assert len(feature_warnings(log)) <= 2
        assert sum(1 for request in server.seen if request.method == "PUT") <= 4


async def test_a_missing_key_is_missing_where_checksums_are_unsupported(transport: str) -> None:
    def respond(request: Asked) -> Reply:
        return error(400, "InvalidArgument") if checksums(request) else error(404, "NoSuchKey")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        for _ in range(2):
            assert await read(store, "a") is None
        assert len(server.seen) == 3


async def test_a_large_value_is_uploaded_where_checksums_are_unsupported(
    transport: str,
) -> None:
    def respond(request: Asked) -> Reply:
        if checksums(request):
            return error(400, "InvalidArgument")
        if request.query.startswith("uploads"):
            return Reply(200, b"<R><UploadId>1</UploadId></R>")
        return Reply(
            200, b"<R><ETag>e</ETag></R>" if request.method == "POST" else b"", {"ETag": "e"}
        )

    sizes = {"large_value_bytes": 5 * 2**20, "part_bytes": 5 * 2**20}
    async with scripted_s3(respond) as server, store_at(server, transport, **sizes) as store:
        await store.set("a", buf(bytes(12 * 2**20)))
        parts = [
            request for request in server.seen if request.method == "PUT" and not checksums(request)
        ]
        assert len(parts) == 3
        assert sum(len(request.body) for request in parts) == 12 * 2**20


async def test_a_completion_repeats_the_checksums_of_its_parts(transport: str) -> None:
    header = "x-amz-checksum-crc32"
    #: By the query, which starts with the number of the part.
    sent: dict[str, str] = {}

    def respond(request: Asked) -> Reply:
        if request.query.startswith("uploads"):
            body = b"<R><UploadId>1</UploadId></R>"
            return Reply(200, body, {"x-amz-checksum-algorithm": "CRC32"})
        if request.method == "POST":
            return Reply(200, b"<R><ETag>e</ETag></R>")
        # Older releases of botocore send none.
        checksum = sent[request.query] = request.headers.get(header, "AAAAAA==")
        return Reply(200, b"", {"ETag": "e", header: checksum})

    sizes = {"large_value_bytes": 5 * 2**20, "part_bytes": 5 * 2**20}
    async with scripted_s3(respond) as server, store_at(server, transport, **sizes) as store:
        await store.set("a", buf(bytes(12 * 2**20)))
        completion = server.seen[-1].body.decode()
    stated = re.findall("<ChecksumCRC32>(.*?)</ChecksumCRC32>", completion)
    assert len(stated) == 3
    assert stated == [sent[query] for query in sorted(sent)]


async def test_a_wrong_secret_costs_no_further_requests(
    transport: str, log: pytest.LogCaptureFixture
) -> None:
    async with (
        scripted_s3(lambda request: error(403, "SignatureDoesNotMatch")) as server,
        store_at(server, transport) as store,
    ):
        calls = [store.get(f"c/{number}") for number in range(50)]
        calls += [put(store, f"c/{number}") for number in range(50)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in found} == {UnauthenticatedError}
        # Each call is repeated by s3fs, and a few without the optional header.
        assert len(server.seen) <= 100 * 2 + 8
        assert feature_warnings(log) == []


# -- Bulk deletes ----------------------------------------------------------------------------------


class Keys:
    """A bucket that can be listed by either version."""

    def __init__(self, *keys: str, delete: Reply | None = None, page: int = 1000) -> None:
        self.keys = sorted(keys)
        self._delete, self._page = delete, page
        self.version_2: Reply | None = None
        self.has_next_marker = True
        self.has_sizes = True

    def __call__(self, request: Asked) -> Reply:
        if request.method == "GET" and request.path.rstrip("/") == "/bucket":
            return self._list(request)
        if request.method == "POST":
            assert self._delete is not None
            return self._delete
        key = unquote(request.path).removeprefix("/bucket/")
        if request.method == "DELETE":
            self.keys = [each for each in self.keys if each != key]
            return Reply(204)
        return value(key.encode())

    def _list(self, request: Asked) -> Reply:
        query = {name: found[0] for name, found in parse_qs(request.query).items()}
        if "list-type" in query and self.version_2 is not None:
            return self.version_2
        # Version 1 ignores unknown parameters.
        prefix, after = query.get("prefix", ""), query.get("marker", "")
        names: list[str] = []
        for key in self.keys:
            rest = key.removeprefix(prefix)
            name = key
            if "delimiter" in query and "/" in rest:
                name = prefix + rest[: rest.index("/") + 1]
            if key.startswith(prefix) and name > after and name not in names:
                names.append(name)
        page = names[: self._page]
        truncated = len(page) < len(names)
        inside = [f"<Marker>{escape(after)}</Marker>"]
        size = "<Size>3</Size>" if self.has_sizes else ""
        for name in page:
            if name.endswith("/"):
                inside.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            else:
                inside.append(f"<Contents><Key>{escape(name)}</Key>{size}</Contents>")
        if truncated and self.has_next_marker:
            inside.append(f"<NextMarker>{escape(page[-1])}</NextMarker>")
        inside.append(f"<IsTruncated>{str(truncated).lower()}</IsTruncated>")
        text = f"<ListBucketResult>{''.join(inside)}</ListBucketResult>"
        return Reply(200, text.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    "error_response",
    [
        error(400, "InvalidArgument"),
        error(400, "InvalidRequest"),
        error(400, "MalformedXML"),
        error(405, "MethodNotAllowed"),
        error(411, "MissingContentLength"),
        error(501, "NotImplemented"),
        Reply(411, PAGE, HTML),
        Reply(405, b"no such method", {"Content-Type": "text/plain"}),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[13:28].decode()}",
)
async def test_unsupported_bulk_deletes(
    error_response: Reply, transport: str, log: pytest.LogCaptureFixture
) -> None:
    service = Keys("x/c/0", "x/c/1", "x/d", "y/c/0", "y/c/1", "y/d", delete=error_response)
    async with (
        scripted_s3(service) as server,
        store_at(server, transport) as store,
        store_at(server, transport, "y") as other,
    ):
        await store.delete_dir("c")
        assert service.keys == ["x/d", "y/c/0", "y/c/1", "y/d"]
        requests = len([each for each in server.seen if each.method == "POST"])
        await other.delete_dir("c")
        assert service.keys == ["x/d", "y/d"]
        assert len([each for each in server.seen if each.method == "POST"]) == requests
        assert len(feature_warnings(log)) == 1
        assert "keys are deleted one by one" in feature_warnings(log)[0]


@pytest.mark.parametrize(
    ("error_response", "raised"),
    [
        (error(403, "AccessDenied"), AccessDeniedError),
        (error(403, "InvalidAccessKeyId"), UnauthenticatedError),
        (error(404, "NoSuchBucket"), BucketNotFoundError),
        (error(503, "SlowDown"), StoreError),
        (Reply(404, PAGE, HTML), BackendError),
        (Reply(200, b"<Other/>"), BackendError),
        (
            Reply(
                200,
                b"<DeleteResult><Deleted><Key>x/c/0</Key></Deleted><Error><Key>x/c/1</Key>"
                b"<Code>InvalidArgument</Code><Message>m</Message></Error></DeleteResult>",
            ),
            BackendError,
        ),
    ],
)
async def test_other_errors_of_a_bulk_delete_are_raised(
    error_response: Reply, raised: type[StoreError], transport: str
) -> None:
    service = Keys("x/c/0", "x/c/1", delete=error_response)
    async with scripted_s3(service) as server, store_at(server, transport) as store:
        with pytest.raises(raised):
            await store.delete_dir("c")
        assert [request for request in server.seen if request.method == "DELETE"] == []


# -- Listings of version 1 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version_2", [None, error(400, "InvalidArgument"), error(501, "NotImplemented")]
)
@pytest.mark.parametrize("has_next_marker", [True, False])
async def test_a_service_without_listobjectsv2(
    version_2: Reply | None, has_next_marker: bool, transport: str, log: pytest.LogCaptureFixture
) -> None:
    keys = [f"x/{name}" for name in ("a", "b c", "c/0", "c/1", "c&d/0", "e", "f+g", "h/0/0")]
    service = Keys(*keys, "y/other", page=2)
    service.version_2, service.has_next_marker = version_2, has_next_marker
    async with scripted_s3(service) as server, store_at(server, transport) as store:
        wanted = sorted(key.removeprefix("x/") for key in keys)
        assert sorted(await listed(store.list())) == wanted
        children = await listed(store.list_dir(""))
        assert sorted(children) == ["a", "b c", "c", "c&d", "e", "f+g", "h"]
        assert sorted(await listed(store.list_prefix("c"))) == ["c&d/0", "c/0", "c/1"]
        assert not await store.is_empty("h")
        assert await store.is_empty("nothing")
        before = len(server.seen)
        assert await listed(store.list_prefix("e")) == ["e"]
        assert len(server.seen) == before + 1
        assert "list-type" not in server.seen[-1].query
        assert len(feature_warnings(log)) == 1
        assert "ListObjects, version 1" in feature_warnings(log)[0]


@pytest.mark.parametrize("server_name", ["minio", "moto"])
async def test_real_servers_list_by_version_1(
    request: pytest.FixtureRequest, server_name: str, transport: str
) -> None:
    endpoint: S3Endpoint = request.getfixturevalue(f"{server_name}_endpoint")
    keys = ["a", "b+c", "c/0", "c/1", "\u00e9/x y", "z"]
    url = f"s3://{endpoint.make_bucket()}/x"
    with FsspecStore.from_url(url, options_of(endpoint), transport=transport) as store:
        await put(store, *keys)
        backend = store._backend
        service = await backend._client.service()
        unsupported = service.unsupported
        try:
            service.mark_unsupported("ListObjectsV2", "set by the test")
            assert sorted(await listed(store.list())) == sorted(keys)
            assert sorted(await listed(store.list_dir(""))) == ["a", "b+c", "c", "z", "\u00e9"]
            small = [
                page
                async for page in backend.pages(f"{store.path}/", "", recursive=True, page_size=1)
            ]
            assert len(small) >= len(keys)
        finally:
            service.unsupported = unsupported


# -- Missing sizes ---------------------------------------------------------------------------------


def by_head(**headers: str | None) -> Callable[[Asked], Reply]:
    """A service whose values are the last characters of their keys, with given HEAD headers."""

    def respond(request: Asked) -> Reply:
        if request.method == "HEAD":
            return Reply(200, b"", {"ETag": '"e"', **headers})
        data = request.path.rpartition("/")[2].encode().replace(b"empty", b"")
        if "range" in request.headers and data and "Content-Range" not in headers:
            part = {"ETag": '"e"', "Content-Range": f"bytes 0-0/{len(data)}"}
            return Reply(206, data[:1], part)
        return value(data)

    return respond


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": None},
        {"Content-Length": None, "Transfer-Encoding": "chunked"},
        {"Content-Length": "0"},
        # A service that ignores ranges.
        {"Content-Length": None, "Content-Range": None},
    ],
    ids=str,
)
async def test_a_size_that_head_omits(headers: dict[str, str | None], transport: str) -> None:
    async with scripted_s3(by_head(**headers)) as server, store_at(server, transport) as store:
        assert await read(store, "a") == b"a"
        assert await store.getsize("long") == 4
        assert await store.exists("long")
        assert await store.getsize("empty") == 0
        assert await store.exists("empty")


async def test_an_empty_object_is_recognised_by_its_etag(transport: str) -> None:
    async with scripted_s3(by_head(ETag=EMPTY_MD5)) as server, store_at(server, transport) as store:
        await store.get("a")
        before = len(server.seen)
        assert await store.getsize("empty") == 0
        assert len(server.seen) == before + 1


async def test_an_empty_object_whose_range_is_not_satisfiable(transport: str) -> None:
    def respond(request: Asked) -> Reply:
        if request.method == "HEAD":
            return Reply(200, b"", {"ETag": '"e"', "Content-Length": None})
        return error(416, "InvalidRange") if "range" in request.headers else value(b"")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        await store.get("a")
        assert await store.getsize("empty") == 0


async def test_an_unknown_size_is_an_error(transport: str) -> None:
    def respond(request: Asked) -> Reply:
        if request.method == "HEAD":
            return Reply(200, b"", {"ETag": '"e"', "Content-Length": None})
        if "range" in request.headers:
            return Reply(206, b"v", {"ETag": '"e"', "Content-Range": "bytes 0-0/*"})
        return value(b"value")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        await store.get("a")
        with pytest.raises(BackendError, match="does not state the size"):
            await store.getsize("a")


async def test_sizes_that_a_listing_omits(transport: str) -> None:
    service = Keys("x/a", "x/long")
    service.has_sizes = False
    async with scripted_s3(service) as server, store_at(server, transport) as store:
        assert await listed(store.list()) == ["a", "long"]
        # Each value is its path.
        assert await store.getsize_prefix("") == len("x/a") + len("x/long")


# -- Responses of other servers --------------------------------------------------------------------


@pytest.mark.parametrize("page", [PAGE, WELL_FORMED])
@pytest.mark.parametrize("status", [200, 403, 404, 418])
async def test_a_page_of_another_server_is_an_error(
    status: int, page: bytes, transport: str
) -> None:
    is_s3 = True

    def respond(request: Asked) -> Reply:
        if not is_s3:
            return Reply(status, page, HTML)
        return Reply(204) if request.method == "DELETE" else value(b"value")

    async with scripted_s3(respond) as server, store_at(server, transport) as store:
        uses = {
            "get": lambda: store.get("a"),
            "range": lambda: store.get("a", byte_range=RangeByteRequest(0, 2)),
            "exists": lambda: store.exists("a"),
            "getsize": lambda: store.getsize("a"),
            "delete": lambda: store.delete("a"),
            "list": lambda: listed(store.list()),
            "set": lambda: put(store, "a"),
        }
        for is_seen in (False, True):
            if is_seen:
                is_s3 = True
                assert await read(store, "a") == b"value"
                is_s3 = False
            else:
                is_s3 = False
            for name, use in uses.items():
                with pytest.raises((BackendError, AccessDeniedError)) as caught:
                    await use()
                assert not isinstance(caught.value, FileNotFoundError)
                if status != 200 and name in ("get", "range", "delete", "list"):
                    assert "the server does not speak S3" in str(caught.value), name
                    assert str(status) in str(caught.value), name


async def test_a_404_without_a_body_is_a_missing_key(transport: str) -> None:
    replies: Sequence[Reply] = (
        Reply(404),
        Reply(404, b"", HTML),
        Reply(404, b"not found", {"x-amz-request-id": "1", "Content-Type": "text/plain"}),
    )

    for reply in replies:

        def respond(request: Asked, reply: Reply = reply) -> Reply:
            return value(b"value") if request.path.endswith("there") else reply

        async with scripted_s3(respond) as server, store_at(server, transport) as store:
            assert await read(store, "there") == b"value"
            assert await read(store, "a") is None
            assert not await store.exists("a")


async def test_a_value_may_be_html(transport: str) -> None:
    async with (
        scripted_s3(lambda request: value(PAGE, **HTML)) as server,
        store_at(server, transport) as store,
    ):
        assert await read(store, "index.html") == PAGE
        assert await store.getsize("index.html") == len(PAGE)
        assert len(server.seen) == 2
