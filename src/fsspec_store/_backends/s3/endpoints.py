"""The endpoint of a bucket's requests, discovered from a request of s3fs.

One s3fs request per bucket and operation is intercepted before it is sent: its URL, region, headers
and signature show endpoint, addressing style and credentials as the user configured them, and
whether the native transport supports them.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ..._http.http1.pool import DEFAULT_PORTS, Origin
from .signing import Signer
from .supported import UnsupportedError, check_filesystem, check_handlers, check_session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping
    from urllib.parse import SplitResult

__all__ = ["METHODS", "Endpoint", "find_endpoint"]

#: Headers of every request of botocore that do not change its meaning.
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
#: Headers of a body whose checksum follows it, as botocore sends it over TLS.
_TRAILED = {
    "content-encoding": "aws-chunked",
    "transfer-encoding": "chunked",
    "x-amz-decoded-content-length": None,
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "x-amz-trailer": _CRC32,
}
_CREDENTIAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[\x21-\x7e]+/\d{8}/([^/]+)/s3/aws4_request, ?SignedHeaders=.+"
)
_WORD = re.compile(r"[\x21-\x7e]*").fullmatch
#: What a line of a request's head may hold that every server reads alike.
_PRINTABLE = re.compile(r"[\x20-\x7e]*").fullmatch


@dataclass(frozen=True)
class _Kind:
    """What the requests of one kind have that are supported."""

    verb: str
    params: Mapping[str, Any]
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    has_body: bool = False


_TO_OBJECT = {"Key": ""}
#: The supported methods of an S3 client.
METHODS: Mapping[str, _Kind] = {
    "get_object": _Kind("GET", _TO_OBJECT, headers=frozenset({"x-amz-checksum-mode"})),
    "head_object": _Kind("HEAD", _TO_OBJECT, headers=frozenset({"x-amz-checksum-mode"})),
    "put_object": _Kind("PUT", {"Key": "", "Body": b"x"}, headers=_CHECKED_BODY, has_body=True),
    "upload_part": _Kind(
        "PUT",
        {"Key": "", "Body": b"x", "UploadId": "1", "PartNumber": 1},
        frozenset({"uploadId", "partNumber"}),
        _CHECKED_BODY,
        has_body=True,
    ),
    "delete_object": _Kind("DELETE", _TO_OBJECT),
    "delete_objects": _Kind(
        "POST",
        {"Delete": {"Objects": [{"Key": "x"}], "Quiet": True}},
        frozenset({"delete"}),
        _CHECKED_BODY | {"content-type"},
        has_body=True,
    ),
    "list_objects_v2": _Kind(
        "GET", {"Prefix": "x"}, frozenset({"list-type", "prefix", "encoding-type"})
    ),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the requests of one bucket and kind go.

    Attributes
    ----------
    origin : Origin
        The server.
    host : str
        The ``Host`` header.
    path : str
        Of the bucket's objects up to the key, or of the bucket; quoted.
    signer : Signer or None
        ``None`` for anonymous requests.
    agent : str
        The ``User-Agent`` header.
    crc32 : bool
        Whether uploads carry the CRC-32 of their body.
    """

    origin: Origin
    host: str
    path: str
    signer: Signer | None
    agent: str
    crc32: bool

    @property
    def location(self) -> tuple[Origin, str, str, str | None]:
        """What a redirect of the service changes; the region last."""
        region = None if self.signer is None else self.signer.region
        return self.origin, self.host, self.path, region


class _CaughtError(Exception):
    """Raised in botocore instead of sending a request."""


async def find_endpoint(
    fs: Any, bucket: str, method: str, tls: Callable[[], Awaitable[ssl.SSLContext]]
) -> tuple[Endpoint, Any]:
    """Where requests of one kind go, and the botocore client that holds their credentials.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own s3fs filesystem.
    bucket, method : str
        Of the requests; one of `METHODS`.
    tls : callable
        Returns the context of `tls_context`; asked where requests go over TLS.

    Raises
    ------
    UnsupportedError
        When the native transport does not support such a request.
    Exception
        What s3fs raised before it came to a request: no credentials, no such profile.
    """
    kind = METHODS[method]
    try:
        check_filesystem(fs)
        request, client, name = await _sample(fs, bucket, method, kind)
        check_session(client._endpoint.http_session, request.url)
        context = await tls() if request.url.startswith("https:") else None
        return _understood(request, kind, name, context), client
    except (AttributeError, KeyError) as error:
        # These are not public parts of s3fs and botocore.
        raise UnsupportedError(f"this release of botocore is not known: {error}") from error


async def _sample(fs: Any, bucket: str, method: str, kind: _Kind) -> tuple[Any, Any, str]:
    """A request that is not sent, its client, and the name of the key in it."""
    name = f"sample-{secrets.token_hex(8)}"
    params = {**kind.params, **({"Key": name} if "Key" in kind.params else {})}
    await fs.set_session()
    client = await fs.get_s3(bucket)
    operation = client.meta.method_to_api_mapping[method]
    check_handlers(client, operation)
    event = f"before-send.s3.{operation}"
    caught: list[Any] = []
    here = asyncio.current_task()

    def catch(request: Any, **_: Any) -> None:
        # Other tasks may send requests by this client at the same time.
        if asyncio.current_task() is here:
            caught.append(request)
            raise _CaughtError

    client.meta.events.register_first(event, catch)
    try:
        await fs._call_s3(method, fs.req_kw, Bucket=bucket, **params)
    except Exception:
        if not caught:
            raise
    finally:
        client.meta.events.unregister(event, catch)
    if not caught:
        raise UnsupportedError("s3fs sent another request than expected")
    return caught[0], client, name


def _understood(request: Any, kind: _Kind, name: str, tls: ssl.SSLContext | None) -> Endpoint:
    """The endpoint of a supported request."""
    headers = {key.lower(): _text(value) for key, value in request.headers.items()}
    url = urlsplit(request.url)
    signer = _signer(headers)
    if request.method != kind.verb:
        raise UnsupportedError(f"the method {request.method}")
    for query in parse_qs(url.query, keep_blank_values=True):
        if query not in kind.query:
            raise UnsupportedError(f"the query parameter {query}")
    for header in sorted(headers.keys() - _ALWAYS - kind.headers):
        if not (kind.has_body and header in _TRAILED):
            raise UnsupportedError(f"the header {header}")
    for header, value in _TRAILED.items():
        if value is not None and headers.get(header, value) != value:
            raise UnsupportedError(f"the header {header}")
    if url.username is not None or url.hostname is None or url.scheme not in ("http", "https"):
        raise UnsupportedError("the endpoint")
    path, host = url.path, headers.get("host") or _host(url)
    agent = headers.get("user-agent", "")
    if not (_PRINTABLE(path) and _PRINTABLE(host) and _PRINTABLE(agent)):
        raise UnsupportedError("characters that no header holds everywhere")
    if "Key" in kind.params:
        if not path.endswith(f"/{name}"):
            raise UnsupportedError("the place of the key in the URL")
        path = path.removesuffix(name)
    return Endpoint(
        Origin(url.hostname, url.port or DEFAULT_PORTS[url.scheme], tls),
        host,
        path or "/",
        signer,
        agent,
        _CRC32 in headers or headers.get("x-amz-trailer") == _CRC32,
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
    """The ``Host`` header, with the port unless it is the scheme's own (RFC 9110, section 7.2)."""
    host = url.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if url.port in (None, DEFAULT_PORTS[url.scheme]) else f"{host}:{url.port}"


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
