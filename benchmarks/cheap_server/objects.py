"""S3's objects in memory: the operations that the benchmarks need, with S3's headers and XML.

Signatures are not verified. An ETag is a number and not an MD5, as of encrypted objects on Amazon's
service. A checksum is the one that was sent with the object.
"""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape, unescape

from benchmarks.cheap_server.bodies import aws_chunked
from benchmarks.cheap_server.documents import deleted, error, listing, xml
from benchmarks.cheap_server.messages import COMMON_HEADERS, Response, response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.cheap_server.messages import Pieces, Request

_CRC32 = "x-amz-checksum-crc32"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_PART = re.compile(r"<PartNumber>(\d+)</PartNumber>")


@dataclass(frozen=True, slots=True)
class _Object:
    body: Pieces
    size: int
    etag: str
    modified: datetime
    checksum: str
    whole: dict[bool, Response] = field(default_factory=dict)
    """The response to a GET of the whole object, by whether it has the checksum."""

    def headers(self, *, with_checksum: bool) -> dict[str, str]:
        headers = {
            **COMMON_HEADERS,
            "Last-Modified": format_datetime(self.modified, usegmt=True),
            "ETag": self.etag,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if with_checksum and self.checksum:
            headers |= {_CRC32: self.checksum, "x-amz-checksum-type": "FULL_OBJECT"}
        return headers


@dataclass
class _Bucket:
    objects: dict[str, _Object] = field(default_factory=dict)
    pages: dict[str, Response] = field(default_factory=dict)
    """Listings by their query, until the keys change."""


class Objects:
    """Buckets and their objects."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._uploads: dict[str, dict[int, Pieces]] = {}
        self._numbers = itertools.count(1)
        #: Held while objects change.
        self._lock = threading.Lock()

    def respond(self, request: Request) -> Response:
        """Perform an operation."""
        name, _, key = request.path[1:].partition("/")
        if not name:
            return xml("ListAllMyBucketsResult")
        bucket = self._buckets.get(name)
        query = request.query
        if bucket is None:
            if request.method == "PUT" and not key:
                self._buckets[name] = _Bucket()
                return response(200, COMMON_HEADERS)
            return error(404, "NoSuchBucket", request)
        if not key:
            return self._of_bucket(bucket, request)
        key = unquote(key) if "%" in key else key
        match request.method:
            case "GET" | "HEAD":
                return self._get(bucket, key, request)
            case "PUT" if "uploadId=" in query:
                return self._put_part(request)
            case "PUT":
                return self._put(bucket, key, request)
            case "POST":
                return self._multipart(bucket, key, request)
            case "DELETE" if "uploadId=" in query:
                self._uploads.pop(dict(parse_qsl(query))["uploadId"], None)
                return response(204, COMMON_HEADERS)
            case "DELETE":
                self._delete(bucket, [key])
                return response(204, COMMON_HEADERS)
        return error(501, "NotImplemented", request)

    def _of_bucket(self, bucket: _Bucket, request: Request) -> Response:
        query = request.query
        if request.method == "POST" and query.startswith("delete"):
            text = str(request.body, "utf-8")
            keys = [unescape(key, {"&quot;": '"'}) for key in _KEY.findall(text)]
            self._delete(bucket, keys)
            return xml("DeleteResult", "" if "<Quiet>true" in text else deleted(keys))
        if request.method == "GET" and "list-type=2" in query:
            with self._lock:
                page = bucket.pages.get(query)
                if page is None:
                    page = bucket.pages[query] = listing(bucket.objects, query)
            return page
        if request.method == "GET" and query.startswith("location"):
            return xml("LocationConstraint")
        if request.method == "HEAD":
            return response(200, {**COMMON_HEADERS, "x-amz-bucket-region": "us-east-1"})
        if request.method == "PUT":
            return response(200, COMMON_HEADERS)
        return error(501, "NotImplemented", request)

    def _get(self, bucket: _Bucket, key: str, request: Request) -> Response:
        found = bucket.objects.get(key)
        if found is None:
            return error(404, "NoSuchKey", request)
        headers = request.headers
        if headers.get("if-match", found.etag) not in ("*", found.etag):
            return error(412, "PreconditionFailed", request)
        if headers.get("if-none-match") in ("*", found.etag):
            return response(304, {"ETag": found.etag})
        with_checksum = "x-amz-checksum-mode" in headers
        if request.method == "HEAD":
            return response(200, found.headers(with_checksum=with_checksum), length=found.size)
        if "range" in headers:
            return _range(found, headers["range"], request)
        whole = found.whole.get(with_checksum)
        if whole is None:
            whole = response(200, found.headers(with_checksum=with_checksum), found.body)
            found.whole[with_checksum] = whole
        return whole

    def _put(self, bucket: _Bucket, key: str, request: Request) -> Response:
        body, checksum = _decoded(request)
        return self._store(bucket, key, body, checksum, request)

    def _store(
        self, bucket: _Bucket, key: str, body: Pieces, checksum: str, request: Request
    ) -> Response:
        headers = request.headers
        new = _Object(
            body,
            sum(map(len, body)),
            self._etag(),
            datetime.now(UTC).replace(microsecond=0),
            checksum,
        )
        with self._lock:
            old = bucket.objects.get(key)
            if "if-none-match" in headers and old is not None:
                return error(412, "PreconditionFailed", request)
            if "if-match" in headers:
                if old is None:
                    return error(404, "NoSuchKey", request)
                if headers["if-match"] != old.etag:
                    return error(412, "PreconditionFailed", request)
            bucket.objects[key] = new
            bucket.pages.clear()
        stated = {_CRC32: checksum} if checksum else {}
        if request.method == "POST":
            return xml(
                "CompleteMultipartUploadResult",
                f"<Key>{escape(key)}</Key><ETag>{escape(new.etag)}</ETag>",
            )
        return response(200, {**COMMON_HEADERS, "ETag": new.etag, **stated})

    def _put_part(self, request: Request) -> Response:
        query = dict(parse_qsl(request.query))
        parts = self._uploads.get(query["uploadId"])
        if parts is None:
            return error(404, "NoSuchUpload", request)
        body, checksum = _decoded(request)
        parts[int(query["partNumber"])] = body
        stated = {_CRC32: checksum} if checksum else {}
        return response(200, {**COMMON_HEADERS, "ETag": self._etag(), **stated})

    def _multipart(self, bucket: _Bucket, key: str, request: Request) -> Response:
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        if "uploads" in query:
            name = f"upload-{next(self._numbers)}"
            self._uploads[name] = {}
            return xml(
                "InitiateMultipartUploadResult",
                f"<Key>{escape(key)}</Key><UploadId>{name}</UploadId>",
            )
        parts = self._uploads.pop(query.get("uploadId", ""), None)
        if parts is None:
            return error(404, "NoSuchUpload", request)
        numbers = map(int, _PART.findall(str(request.body, "utf-8")))
        body = tuple(piece for number in numbers for piece in parts[number])
        return self._store(bucket, key, body, "", request)

    def _delete(self, bucket: _Bucket, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                bucket.objects.pop(key, None)
            bucket.pages.clear()

    def _etag(self) -> str:
        return f'"{next(self._numbers):032x}"'


def _range(found: _Object, text: str, request: Request) -> Response:
    parsed = _RANGE.fullmatch(text)
    first, last = parsed.groups() if parsed else ("", "")
    size = found.size
    if first:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    else:
        start, end = max(0, size - int(last or 0)), size
    if start >= end:
        return error(416, "InvalidRange", request, {"Content-Range": f"bytes */{size}"})
    headers = found.headers(with_checksum=False)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response(206, headers, _cut(found.body, start, end))


def _cut(body: Pieces, start: int, end: int) -> Pieces:
    """The part of a body from `start` to `end`."""
    pieces = []
    for piece in body:
        cut = piece[max(start, 0) : max(end, 0)]
        if len(cut):
            pieces.append(cut)
        start, end = start - len(piece), end - len(piece)
    return tuple(pieces)


def _decoded(request: Request) -> tuple[Pieces, str]:
    """The data of a body, and its checksum, from a header or a trailer."""
    if "aws-chunked" in request.headers.get("content-encoding", ""):
        pieces, trailers = aws_chunked(request.body)
        return pieces, trailers.get(_CRC32, "")
    return (request.body,), request.headers.get(_CRC32, "")
