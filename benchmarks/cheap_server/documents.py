"""S3's XML: listings, results and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

from benchmarks.cheap_server.messages import COMMON_HEADERS, Response, response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from benchmarks.cheap_server.messages import Request

_XML = {**COMMON_HEADERS, "Content-Type": "application/xml"}
_PAGE_KEYS = 1000


class Listed(Protocol):
    """What a listing states of an object."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def etag(self) -> str:
        """The ETag, in quotes."""

    @property
    def modified(self) -> datetime:
        """Time of the last write."""


def listing(objects: Mapping[str, Listed], text: str) -> Response:
    """A page of a listing (ListObjectsV2)."""
    query = dict(parse_qsl(text, keep_blank_values=True))
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token", query.get("start-after", ""))
    limit = min(_PAGE_KEYS, int(query.get("max-keys", _PAGE_KEYS)))
    written = quote if query.get("encoding-type") == "url" else escape
    entries: list[str] = []
    last = more = ""
    for key in sorted(key for key in objects if key.startswith(prefix) and key > after):
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if cut < 0 else key[: cut + len(delimiter)]
        if name in (last, after):
            continue
        if len(entries) == limit:
            more = last
            break
        last = name
        if cut >= 0:
            entries.append(f"<CommonPrefixes><Prefix>{written(name)}</Prefix></CommonPrefixes>")
            continue
        one = objects[key]
        entries.append(
            f"<Contents><Key>{written(key)}</Key><LastModified>{one.modified:%Y-%m-%dT%H:%M:%S}.000Z"
            f"</LastModified><ETag>{escape(one.etag)}</ETag><Size>{one.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )
    token = f"<NextContinuationToken>{escape(more)}</NextContinuationToken>" if more else ""
    encoding = "<EncodingType>url</EncodingType>" if written is quote else ""
    return xml(
        "ListBucketResult",
        f"<Name>bucket</Name><Prefix>{written(prefix)}</Prefix>"
        f"<KeyCount>{len(entries)}</KeyCount><MaxKeys>{limit}</MaxKeys>{encoding}"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}"
        f"{''.join(entries)}",
    )


def deleted(keys: Iterable[str]) -> str:
    """The entries of keys that a bulk delete has deleted."""
    return "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)


def xml(name: str, content: str = "") -> Response:
    """A document with one root element."""
    return _document(
        200, f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{name}>'
    )


def error(
    status: int, code: str, request: Request, headers: dict[str, str] | None = None
) -> Response:
    """An error response."""
    if request.method == "HEAD":
        return response(status, {**_XML, **(headers or {})})
    text = f"<Error><Code>{code}</Code><Message>{code}</Message><RequestId>0</RequestId></Error>"
    return _document(status, text, headers)


def _document(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return response(status, {**_XML, **(headers or {})}, (memoryview(body),))
