"""Discovers the endpoint of a bucket's requests from a request of s3fs.

One s3fs request per bucket and operation is intercepted before it is sent: its URL, region, headers
and signature show endpoint, addressing style and credentials as the user configured them, and
whether the native transport supports them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from ..._http.http1.pool import DEFAULT_PORTS, Origin
from .signing import UNSIGNED_PAYLOAD, Signer
from .supported import UnsupportedError, check_filesystem, check_handlers, check_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["METHODS", "Endpoint", "discover_endpoint"]

#: Headers of botocore's requests that do not change their meaning.
_ALWAYS = frozenset(
    {
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "content-length",
        "host",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
    }
)
_CRC32 = "x-amz-checksum-crc32"
_CHECKED_BODY = frozenset({"content-md5", "expect", _CRC32, "x-amz-sdk-checksum-algorithm"})
#: Headers of a body with a checksum in its trailer, as botocore sends it over TLS.
_TRAILER = {
    "content-encoding": "aws-chunked",
    "transfer-encoding": "chunked",
    "x-amz-decoded-content-length": None,
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "x-amz-trailer": _CRC32,
}
#: Values of ``x-amz-content-sha256`` for a body that the signature does not cover.
_UNSIGNED = frozenset({UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[\x21-\x7e]+/\d{8}/([^/]+)/s3/aws4_request, ?SignedHeaders=.+"
)
_WORD = re.compile(r"[\x21-\x7e]*").fullmatch
#: Characters of a request line or header that all servers decode identically.
_PRINTABLE = re.compile(r"[\x20-\x7e]*").fullmatch


@dataclass(frozen=True)
class _Method:
    """The supported form of an S3 client method's requests."""

    verb: str
    params: Mapping[str, Any]
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    has_body: bool = False


_TO_OBJECT = {"Key": ""}
_FROM_OBJECT = {"CopySource": {"Bucket": "x", "Key": "x"}}
_SOURCE = "x-amz-copy-source"
#: The supported methods of an S3 client.
METHODS: Mapping[str, _Method] = {
    "get_object": _Method("GET", _TO_OBJECT, headers=frozenset({"x-amz-checksum-mode"})),
    "head_object": _Method("HEAD", _TO_OBJECT, headers=frozenset({"x-amz-checksum-mode"})),
    "put_object": _Method("PUT", {"Key": "", "Body": b"x"}, headers=_CHECKED_BODY, has_body=True),
    "upload_part": _Method(
        "PUT",
        {"Key": "", "Body": b"x", "UploadId": "1", "PartNumber": 1},
        frozenset({"uploadId", "partNumber"}),
        _CHECKED_BODY,
        has_body=True,
    ),
    "copy_object": _Method("PUT", {"Key": "", **_FROM_OBJECT}, headers=frozenset({_SOURCE})),
    "upload_part_copy": _Method(
        "PUT",
        {"Key": "", "UploadId": "1", "PartNumber": 1, **_FROM_OBJECT},
        frozenset({"uploadId", "partNumber"}),
        frozenset({_SOURCE}),
    ),
    "delete_object": _Method("DELETE", _TO_OBJECT),
    "delete_objects": _Method(
        "POST",
        {"Delete": {"Objects": [{"Key": "x"}], "Quiet": True}},
        frozenset({"delete"}),
        _CHECKED_BODY | {"content-type"},
        has_body=True,
    ),
    "list_objects_v2": _Method(
        "GET", {"Prefix": "x"}, frozenset({"list-type", "prefix", "encoding-type"})
    ),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server, path and signer of one bucket's requests of one method."""

    origin: Origin
    host: str
    #: The quoted path of an object up to its key, or of the bucket.
    path: str
    #: ``None`` for anonymous requests.
    signer: Signer | None
    #: The ``User-Agent`` header.
    agent: str
    #: Whether uploads carry the CRC-32 of their body.
    crc32: bool
    #: Whether the signature of such uploads does not cover the body: over TLS, as in botocore, if
    #: certificates are verified.
    unsigned: bool

    @property
    def location(self) -> tuple[Origin, str, str, str | None]:
        """The fields that a redirect to another region changes."""
        region = None if self.signer is None else self.signer.region
        return self.origin, self.host, self.path, region


class _InterceptedError(Exception):
    """Raised in botocore instead of sending a request."""


async def discover_endpoint(
    fs: Any, bucket: str, method: str, tls: Callable[[], Awaitable[ssl.SSLContext]]
) -> tuple[Endpoint, Any]:
    """The endpoint of a bucket's requests of one method, and the botocore client with credentials.

    Raises `UnsupportedError` when the native transport does not support such requests, and errors
    of s3fs before it made a request: no credentials, no such profile.
    """
    supported = METHODS[method]
    try:
        check_filesystem(fs)
        request, client, name = await _sample(fs, bucket, method, supported)
        check_session(client._endpoint.http_session, request.url)
        context = await tls() if request.url.startswith("https:") else None
        endpoint = _endpoint(request, supported, name, context)
        # botocore ignores this option where it sends a checksum in a trailer.
        is_signed = (client.meta.config.s3 or {}).get("payload_signing_enabled")
        if is_signed or (context is not None and context.verify_mode is ssl.CERT_NONE):
            endpoint = replace(endpoint, unsigned=False)
        return endpoint, client
    except (AttributeError, KeyError) as error:
        # Private attributes of s3fs or botocore are missing.
        raise UnsupportedError(f"this release of botocore is not supported: {error}") from error


async def _sample(fs: Any, bucket: str, method: str, supported: _Method) -> tuple[Any, Any, str]:
    """An intercepted request of s3fs, its client, and the key in it."""
    name = f"sample-{secrets.token_hex(8)}"
    params = {**supported.params, **({"Key": name} if "Key" in supported.params else {})}
    await fs.set_session()
    client = await fs.get_s3(bucket)
    operation = client.meta.method_to_api_mapping[method]
    check_handlers(client, operation)
    event = f"before-send.s3.{operation}"
    intercepted: list[Any] = []
    task = asyncio.current_task()

    def intercept(request: Any, **_: Any) -> None:
        # Other tasks may use this client at the same time.
        if asyncio.current_task() is task:
            intercepted.append(request)
            raise _InterceptedError

    client.meta.events.register_first(event, intercept)
    try:
        await fs._call_s3(method, fs.req_kw, Bucket=bucket, **params)
    except Exception:
        if not intercepted:
            raise
    finally:
        client.meta.events.unregister(event, intercept)
    if not intercepted:
        raise UnsupportedError("s3fs sent another request than expected")
    return intercepted[0], client, name


def _endpoint(request: Any, supported: _Method, name: str, tls: ssl.SSLContext | None) -> Endpoint:
    """The endpoint of a request; `UnsupportedError` unless every part of it is supported."""
    headers = {key.lower(): _text(value) for key, value in request.headers.items()}
    url = urlsplit(request.url)
    signer = _signer(headers)
    if request.method != supported.verb:
        raise UnsupportedError(f"the method {request.method}")
    for query in parse_qs(url.query, keep_blank_values=True):
        if query not in supported.query:
            raise UnsupportedError(f"the query parameter {query}")
    for header in sorted(headers.keys() - _ALWAYS - supported.headers):
        if not (supported.has_body and header in _TRAILER):
            raise UnsupportedError(f"the header {header}")
    for header, value in _TRAILER.items():
        if value is not None and headers.get(header, value) != value:
            raise UnsupportedError(f"the header {header}")
    if url.username is not None or url.hostname is None or url.scheme not in ("http", "https"):
        raise UnsupportedError("the endpoint")
    path, host = url.path, headers.get("host") or _host(url)
    agent = headers.get("user-agent", "")
    if not (_PRINTABLE(path) and _PRINTABLE(host) and _PRINTABLE(agent)):
        raise UnsupportedError("characters outside printable ASCII in the URL or a header")
    if "Key" in supported.params:
        if not path.endswith(f"/{name}"):
            raise UnsupportedError("the position of the key in the URL")
        path = path.removesuffix(name)
    return Endpoint(
        Origin(url.hostname, url.port or DEFAULT_PORTS[url.scheme], tls),
        host,
        path or "/",
        signer,
        agent,
        _CRC32 in headers or headers.get("x-amz-trailer") == _CRC32,
        headers.get("x-amz-content-sha256") in _UNSIGNED,
    )


def _signer(headers: Mapping[str, str]) -> Signer | None:
    authorization = headers.get("authorization")
    if authorization is None:
        if "x-amz-security-token" in headers:
            raise UnsupportedError("a token without a signature")
        return None
    match = _CREDENTIAL.fullmatch(authorization)
    if match is None or not _WORD(headers.get("x-amz-security-token", "")):
        raise UnsupportedError("the kind of signature")
    return Signer(match.group(1))


def _host(url: SplitResult) -> str:
    """The ``Host`` header, without the scheme's default port (RFC 9110, section 7.2)."""
    host = url.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if url.port in (None, DEFAULT_PORTS[url.scheme]) else f"{host}:{url.port}"


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
