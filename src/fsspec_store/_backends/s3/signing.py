"""Signs S3 requests with AWS Signature Version 4 in the ``authorization`` header.

Pure functions and caches, no I/O. The rules are those of "Authenticating Requests: Using the
Authorization Header (AWS Signature Version 4)" in the S3 API Reference. For S3, paths are quoted
once and never normalised.
"""

from __future__ import annotations

import hashlib
import re
import time
from functools import lru_cache
from hmac import digest as hmac_digest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED_PAYLOAD",
    "Credentials",
    "Signer",
    "canonical_query",
    "payload_hash",
    "quote_key",
]

#: `payload_hash` of an empty body.
EMPTY_SHA256 = hashlib.sha256().hexdigest()
#: In place of `payload_hash`: the signature does not cover the body.
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_PLAIN_KEY = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_HEADER_NAME = re.compile(r"[a-z0-9\-]+").fullmatch
#: An ASCII field value (RFC 9110, 5.5): other characters end the line, or have no fixed encoding.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*").fullmatch
_HEADER_WORD = re.compile(r"[\x21-\x7e]+").fullmatch

#: Headers that are always signed, in the order of the values in `Signer.sign`.
_ALWAYS = ("host", "x-amz-content-sha256", "x-amz-date")
_TOKEN = "x-amz-security-token"

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Credentials(NamedTuple):
    """The credentials of a request."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Credentials(...)"


class _SigningContext(NamedTuple):
    """The state shared by all requests of the same credentials in the same second."""

    second: int
    credentials: Credentials
    #: The value of ``x-amz-date``.
    timestamp: str
    #: The hashes of the signature's HMAC, after the part of the string to sign before the request.
    inner: Any
    outer: Any
    #: The ``authorization`` header up to the names of signed headers.
    authorization: str


class Signer:
    """Signs requests to S3 in one region.

    The day's signing key, the timestamp and the header layout are cached, so that a request costs
    three short hashes. Thread-safe. Raises ``ValueError`` for a region that is invalid in a header.
    """

    def __init__(self, region: str) -> None:
        if not _HEADER_WORD(region):
            raise ValueError(f"invalid AWS region {region!r}")
        self.region = region
        self._context: _SigningContext | None = None
        #: Date, secret and key.
        self._day: tuple[str, str, bytes] | None = None

    def sign(
        self,
        method: str,
        path: str,
        query: str,
        host: str,
        headers: Mapping[str, str],
        payload_hash: str,
        credentials: Credentials,
        now: float | None = None,
    ) -> str:
        r"""The signed header lines of a request, and its ``authorization`` header.

        Parameters
        ----------
        host : str
            The ``Host`` header: with the port, unless it is the scheme's default.
        payload_hash : str
            Result of `payload_hash`, or `UNSIGNED_PAYLOAD`.
        now : float, optional
            Seconds since 1970; the current time by default.

        Returns
        -------
        str
            Lines of ``name: value\r\n``: ``host``, `headers`, ``x-amz-content-sha256``,
            ``x-amz-date``, ``x-amz-security-token`` if there is a token, ``authorization``. All
            characters are ASCII if `host` is.

        Raises
        ------
        ValueError
            For a header or credentials with characters that are not valid in a header; the
            message names the header, and never shows the credentials.
        """
        second = int(time.time() if now is None else now)
        context = self._context
        if context is None or context.second != second or context.credentials != credentials:
            context = self._context = self._new_context(second, credentials)
        _, _, timestamp, inner, outer, authorization = context
        token = credentials.token
        sort, canonical, lines, names = _layout(tuple(headers), bool(token))
        # In the order of _ALWAYS.
        fixed = (host, payload_hash, timestamp, token) if token else (host, payload_hash, timestamp)
        values = sort((*fixed, *headers.values()))
        signed = values
        if headers:
            text = "".join(headers.values())
            if " " in text or not (text.isascii() and text.isprintable()):
                trimmed = [_trimmed(name, value) for name, value in headers.items()]
                signed = sort((*fixed, *trimmed))
        request = (
            f"{method}\n{path}\n{query}\n{canonical % signed}\n{names}\n{payload_hash}"
        ).encode()
        inner = inner.copy()
        inner.update(hashlib.sha256(request).hexdigest().encode())
        outer = outer.copy()
        outer.update(inner.digest())
        return f"{lines % values}{authorization}{names}, Signature={outer.hexdigest()}\r\n"

    def _new_context(self, second: int, credentials: Credentials) -> _SigningContext:
        access_key, secret_key, token = credentials
        if not _HEADER_WORD(access_key) or (token and not _HEADER_WORD(token)):
            # Not shown: a token is a secret.
            raise ValueError(
                "the access key or session token has characters that are not valid in a header"
            )
        timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        date = timestamp[:8]
        day = self._day
        if day is None or day[:2] != (date, secret_key):
            key = f"AWS4{secret_key}".encode()
            for part in (date, self.region, "s3", "aws4_request"):
                key = hmac_digest(key, part.encode(), "sha256")
            day = self._day = (date, secret_key, key)
        scope = f"{date}/{self.region}/s3/aws4_request"
        # RFC 2104, without `hmac`: copying two hashes takes half the time of a new HMAC.
        key = day[2].ljust(_BLOCK, b"\0")
        inner = hashlib.sha256(key.translate(_INNER))
        inner.update(f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n".encode())
        outer = hashlib.sha256(key.translate(_OUTER))
        authorization = (
            f"authorization: AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders="
        )
        return _SigningContext(second, credentials, timestamp, inner, outer, authorization)


def quote_key(key: str) -> str:
    """A key, or bucket and key, quoted for a path: all characters but ``A-Za-z0-9-._~/``.

    Raises ``UnicodeEncodeError`` for a lone surrogate, which no key can contain.
    """
    return key if _PLAIN_KEY(key) else quote(key, safe="/~")


def canonical_query(params: Mapping[str, str]) -> str:
    """A query to sign and send: quoted, sorted, and with a ``=`` after every name."""
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in params.items())
    return "&".join([f"{name}={value}" for name, value in pairs])


def payload_hash(data: memoryview | bytes) -> str:
    """The SHA-256 of a request's body, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _quoted(text: str) -> str:
    return text if _PLAIN_TEXT(text) else quote(text, safe="~")


@lru_cache(maxsize=64)
def _layout(further: tuple[str, ...], with_token: bool) -> tuple[Any, str, str, str]:
    """A function that sorts header values by name, and templates for the sorted values.

    The templates are the canonical headers, the header lines, and the names.
    """
    always = (*_ALWAYS, _TOKEN) if with_token else _ALWAYS
    for name in further:
        if not _HEADER_NAME(name):
            raise ValueError(f"the name of a signed header must be in lower case, got {name!r}")
        if name in (*_ALWAYS, _TOKEN, "authorization"):
            raise ValueError(f"the signer adds the header {name!r} itself")
    names = (*always, *further)
    order = sorted(range(len(names)), key=names.__getitem__)
    ordered = [names[index] for index in order]
    canonical = "".join([f"{name}:%s\n" for name in ordered])
    lines = "".join([f"{name}: %s\r\n" for name in ordered])
    return itemgetter(*order), canonical, lines, ";".join(ordered)


def _trimmed(name: str, value: str) -> str:
    if not _HEADER_VALUE(value):
        raise ValueError(f"the value of {name!r} has characters that are not valid in a header")
    return " ".join(value.split())
