"""AWS Signature Version 4 in a header, for S3.

Knows how a request is written down to be signed, and what of it stays the same for a second or a
day. Pure functions and a cache: knows neither where credentials come from, nor how anything is
sent. The rules are those of "Authenticating Requests: Using the Authorization Header (AWS
Signature Version 4)" in the S3 API Reference; for S3, paths are quoted once and never normalised.
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
    "Credentials",
    "Signer",
    "canonical_query",
    "payload_hash",
    "quote_key",
]

#: `payload_hash` of nothing.
EMPTY_SHA256 = hashlib.sha256().hexdigest()

_PLAIN_KEY = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_HEADER_NAME = re.compile(r"[a-z0-9\-]+").fullmatch
#: A field value of ASCII (RFC 9110, 5.5): anything else could end the line, or has no one encoding.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*").fullmatch
_HEADER_WORD = re.compile(r"[\x21-\x7e]+").fullmatch

#: What every request is signed with, in the order `Signer.sign` has the values.
_ALWAYS = ("host", "x-amz-content-sha256", "x-amz-date")
_TOKEN = "x-amz-security-token"

_BLOCK = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Credentials(NamedTuple):
    """Who signs.

    Parameters
    ----------
    access_key, secret_key : str
    token : str, optional
        The session's token, for credentials that end.
    """

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Credentials(...)"


class _Moment(NamedTuple):
    """What all requests share that one party signs within one second."""

    second: int
    credentials: Credentials
    #: As in ``x-amz-date``.
    stamp: str
    #: The signature's HMAC, after the lines of the string to sign that come before the request's.
    inner: Any
    outer: Any
    #: The ``authorization`` header up to the names of signed headers.
    authorization: str


class _Layout(NamedTuple):
    """What all requests share that sign headers of the same names."""

    #: From values in the order they are given to values sorted by name.
    sort: Any
    canonical: str
    lines: str
    names: str


class Signer:
    """Signs requests to S3 in one region.

    The key of the day, the text of the date and the arrangement of headers are kept, so that a
    request costs three short hashes. May be used by several threads at once.

    Parameters
    ----------
    region : str
        As in the credential's scope: ``us-east-1``.

    Attributes
    ----------
    region : str
        The same.

    Raises
    ------
    ValueError
        When no header can hold the region's name.
    """

    def __init__(self, region: str) -> None:
        if not _HEADER_WORD(region):
            raise ValueError(f"this is no region: {region!r}")
        self.region = region
        self._moment: _Moment | None = None
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
        r"""All signed header lines of a request, and the signature itself.

        Parameters
        ----------
        method : str
            In upper case.
        path : str
            From the ``/`` after the host, quoted as `quote_key` does, and sent as it is.
        query : str
            As `canonical_query` makes it, and sent as it is; ``""`` for none.
        host : str
            As in the header: with the port, unless it is the scheme's own.
        headers : mapping
            Further headers to sign, by names in lower case.
        payload_hash : str
            See `payload_hash`; or one of the words that S3 takes in its place.
        credentials : Credentials
        now : float, optional
            Seconds since 1970, the clock's unless given.

        Returns
        -------
        str
            Lines of ``name: value\r\n``: ``host``, `headers`, ``x-amz-content-sha256``,
            ``x-amz-date``, ``x-amz-security-token`` where there is a token, ``authorization``.
            All is ASCII as long as `host` is.

        Raises
        ------
        ValueError
            For a header, named in the message, that could not be sent as it was signed; and for
            credentials that no header can hold.
        """
        second = int(time.time() if now is None else now)
        moment = self._moment
        if moment is None or moment.second != second or moment.credentials != credentials:
            moment = self._moment = self._begin(second, credentials)
        _, _, stamp, inner, outer, authorization = moment
        token = credentials.token
        sort, canonical, lines, names = _layout(tuple(headers), bool(token))
        # In the order of _ALWAYS.
        fixed = (host, payload_hash, stamp, token) if token else (host, payload_hash, stamp)
        given = (*fixed, *headers.values())
        values = sort(given)
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

    def _begin(self, second: int, credentials: Credentials) -> _Moment:
        access_key, secret_key, token = credentials
        if not _HEADER_WORD(access_key) or (token and not _HEADER_WORD(token)):
            # Not shown: a token is as good as the secret.
            raise ValueError(
                "an access key or session token has characters that no header can hold"
            )
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        date = stamp[:8]
        day = self._day
        if day is None or day[:2] != (date, secret_key):
            day = self._day = (date, secret_key, self._signing_key(date, secret_key))
        scope = f"{date}/{self.region}/s3/aws4_request"
        # RFC 2104 spelled out: copies of two hashes take half the time of a new HMAC.
        key = day[2].ljust(_BLOCK, b"\0")
        inner = hashlib.sha256(key.translate(_INNER))
        inner.update(f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n".encode())
        outer = hashlib.sha256(key.translate(_OUTER))
        authorization = (
            f"authorization: AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders="
        )
        return _Moment(second, credentials, stamp, inner, outer, authorization)

    def _signing_key(self, date: str, secret_key: str) -> bytes:
        key = f"AWS4{secret_key}".encode()
        for part in (date, self.region, "s3", "aws4_request"):
            key = hmac_digest(key, part.encode(), "sha256")
        return key


def quote_key(key: str) -> str:
    """A key, or bucket and key, as it stands in a path: all but ``A-Za-z0-9-._~/`` quoted.

    Raises
    ------
    UnicodeEncodeError
        For half a surrogate pair, which no key can have.
    """
    return key if _PLAIN_KEY(key) else quote(key, safe="/~")


def canonical_query(params: Mapping[str, str]) -> str:
    """A query as it is signed and sent: quoted, sorted, and with a ``=`` for every name."""
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in params.items())
    return "&".join([f"{name}={value}" for name, value in pairs])


def payload_hash(data: memoryview | bytes) -> str:
    """The hash of a request's body that is signed with it."""
    return hashlib.sha256(data).hexdigest()


def _quoted(text: str) -> str:
    return text if _PLAIN_TEXT(text) else quote(text, safe="~")


@lru_cache(maxsize=64)
def _layout(further: tuple[str, ...], with_token: bool) -> _Layout:
    always = (*_ALWAYS, _TOKEN) if with_token else _ALWAYS
    for name in further:
        if not _HEADER_NAME(name):
            raise ValueError(f"a signed header is named in lower case, got {name!r}")
        if name in (*_ALWAYS, _TOKEN, "authorization"):
            raise ValueError(f"the signer itself writes the header {name!r}")
    names = (*always, *further)
    order = sorted(range(len(names)), key=names.__getitem__)
    ordered = [names[index] for index in order]
    return _Layout(
        sort=itemgetter(*order),
        canonical="".join([f"{name}:%s\n" for name in ordered]),
        lines="".join([f"{name}: %s\r\n" for name in ordered]),
        names=";".join(ordered),
    )


def _trimmed(name: str, value: str) -> str:
    if not _HEADER_VALUE(value):
        raise ValueError(f"the header {name!r} has characters that no header can hold")
    return " ".join(value.split())
