"""Redaction of secrets in URLs and messages.

Pure functions. They search text instead of parsing URLs, because a secret that contains ``/``,
``#`` or ``?`` is not parsed correctly.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

__all__ = ["PrivateURL", "hidden", "public_text", "public_url", "request_secrets", "secret_options"]

#: ``user:password@`` after a scheme; the digits of a port are not a password.
_USER_AND_PASSWORD = re.compile(r"^([A-Za-z][\w+.\-]*:/{0,2})[^/@:]*:(?!\d+/)[^@]*(?:@[^/@]*)*@")
#: ``token@`` before the first ``/``; in abfs://container@account it is a container.
_USER = re.compile(r"^([A-Za-z][\w+.\-]*://)[^/@]*@")
_WEB = re.compile(r"https?:/", re.IGNORECASE)
_NEXT_LINK = re.compile(r"[A-Za-z][\w+.\-]*:/")
#: A query value with the name of a credential. Others are shown: a key may contain ``?``. The
#: lookahead keeps the time linear: it skips a long name without ``=``.
_SECRET_VALUE = re.compile(
    r"([?&;](?=[\w.\-]*+=)[\w.\-]*(?:auth|cred|key|pass|pwd|secret|sig|token|upload_id)[\w.\-]*=)"
    r"[^&;\s'\"]*",
    re.IGNORECASE,
)
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
#: The value of an ``Authorization`` header.
_AUTHORIZATION_IN_TEXT = re.compile(
    r"\b((?:Basic|Bearer|SharedKey|SharedKeyLite) |Signature=)[\w.~+/:=-]{16,}"
)
#: A signed assertion (RFC 7519) for the token of a Google account. All after the first part is
#: optional, so that a long text is skipped as a whole, in linear time.
_JWT_IN_TEXT = re.compile(r"\beyJ[\w-]{8,}+(\.[\w-]{8,}+\.[\w-]{8,}+)?")
_SECRET_NAME = re.compile(
    r"auth|cookie|cred|key|pass|pwd|secret|sig|token|upload_id|connection_string", re.IGNORECASE
)
#: Headers without secrets, in lower case. All others may be configured by the user.
_PUBLIC_HEADER = re.compile(
    r"accept.*|cache-control|connection|content-.*|date|expect|host|if-.*|range|transfer-encoding"
    r"|user-agent|x-amz-(date|content-sha256|checksum-.*|meta-.*|request-payer)|x-goog-api-client"
    r"|x-ms-(blob-type|date|meta-.*|range|version)|x-upload-content-.*"
)
#: Shorter secrets are common words, and would be hidden in unrelated text.
_SHORTEST_SECRET = 5
#: Minimum length of AWS access keys (IAM User Guide, "Unique identifiers").
_SHORTEST_ACCESS_KEY = 16
#: Values of gcsfs's ``token`` that are not secrets.
_NO_SECRETS = frozenset({"anonymous", "browser", "cache", "cloud", "google_default"})
_CONTAINERS = ("abfs://", "abfss://", "az://", "s3://", "s3a://", "gs://", "gcs://")

_USER_IN_TEXT = re.compile(r"(://)[^/\s@'\"]*@")
#: The second form is urllib3's, which states the host separately. The query is optional, so that a
#: long URL is skipped as a whole, in linear time.
_QUERY_IN_TEXT = re.compile(r"((?:https?://|\burl: /)[^\s?\"]++)(\?[^\s'\"]*)?", re.IGNORECASE)


def public_url(url: str) -> str:
    """The URL without user name, password and token; a web URL also without its query."""
    links: list[str] = []
    for part in url.split("::"):
        # A web URL is the last link of a chain: "::" in it belongs to an IPv6 address or a name.
        if links and _WEB.match(links[-1]) and not _NEXT_LINK.match(part):
            links[-1] += "::" + part
        else:
            links.append(part)
    return "::".join(map(_public_link, links))


def public_text(text: str) -> str:
    """A library's message without the secrets of URLs, tokens and headers in it."""
    shown = _QUERY_IN_TEXT.sub(
        lambda match: match[1] + ("?***" if match[2] else ""), _USER_IN_TEXT.sub(r"\1***@", text)
    )
    shown = _JWT_IN_TEXT.sub(
        lambda match: "***" if match[1] else match[0], _SECRET_VALUE.sub(r"\1***", shown)
    )
    return _AUTHORIZATION_IN_TEXT.sub(r"\1***", shown)


class PrivateURL(str):
    """A URL whose ``repr``, which debuggers show, contains no secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(public_url(self))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text with ``***`` in place of these strings.

    Also finds them in the encodings of URLs, XML, HTML and JSON.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = _pattern(secret).sub("***", text)
    return text


def request_secrets(url: str, headers: Mapping[str, str]) -> set[str]:
    """Credentials in a request's URL and headers, which an error response may repeat."""
    found: set[str] = set()
    parts = urlsplit(url)
    if parts.password is not None:
        user, password = unquote(parts.username or ""), unquote(parts.password)
        pair = b64encode(f"{user}:{password}".encode()).decode()
        found |= {parts.password, password, pair}
    for name, value in parse_qsl(parts.query):
        if _SECRET_NAME.search(name):
            found.add(value)
    for name, value in headers.items():
        if not _PUBLIC_HEADER.fullmatch(name.lower()):
            found |= _header_secrets(value)
    return found


def secret_options(options: Mapping[str, Any]) -> set[str]:
    """The secrets among storage options, found by the names of the options."""
    found: set[str] = set()
    for name, value in options.items():
        nested = getattr(value, "storage_options", None)
        if isinstance(nested, Mapping):
            found |= secret_options(nested)
        elif "header" in str(name).lower() and isinstance(value, Mapping):
            found |= request_secrets("", {str(key): str(each) for key, each in value.items()})
        elif name == "key" and len(str(value)) < _SHORTEST_ACCESS_KEY:
            # The user name of a self-hosted server, which may be part of other words.
            continue
        elif _SECRET_NAME.search(str(name)):
            for text in _texts(value):
                found |= {text, unquote(text)}
                # Connection strings, and signatures that are query strings.
                found |= {
                    unquote(part.partition("=")[2])
                    for part in re.split("[;&?]", text)
                    if _SECRET_NAME.search(part.partition("=")[0])
                }
        elif isinstance(value, Mapping):
            found |= secret_options(value)
    # The path of a credentials file is not a secret, and helps to correct it.
    return {
        text
        for text in found - _NO_SECRETS
        if not text.startswith(("/", "~", "./")) and not text.endswith(".json")
    }


def _header_secrets(value: str) -> set[str]:
    found = {value}
    scheme, _, credentials = value.partition(" ")
    if credentials:
        # "Bearer token", "Basic base64", "SharedKey account:signature", and S3's list of fields.
        found |= {credentials, credentials.rpartition(":")[2]}
        found |= {
            part.partition("=")[2].strip()
            for part in credentials.split(",")
            if part.strip().lower().startswith("signature=")
        }
        if scheme.lower() == "basic":
            with suppress(ValueError):
                pair = b64decode(credentials).decode("utf-8", "replace")
                found |= {pair, pair.partition(":")[2]}
    return found


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


@lru_cache(maxsize=64)
def _pattern(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_spelled, secret)))


@lru_cache(maxsize=256)
def _spelled(character: str) -> str:
    """A regular expression for a character in all encodings of a response."""
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    spelled = {
        character,
        quote(character, safe=""),
        quote(character, safe="").lower(),
        f"&{_ENTITIES.get(character, character)};",
        f"\\{character}",
        f"&#{number};",
        f"&#x{number:x};",
        f"&#x{number:X};",
        f"\\u{number:04x}",
        f"\\u{number:04X}",
    }
    if character == " ":
        spelled.add("+")
    return f"(?:{'|'.join(map(re.escape, sorted(spelled, key=len, reverse=True)))})"


def _public_link(link: str) -> str:
    shown = _USER_AND_PASSWORD.sub(r"\1***@", link)
    if not shown.startswith(_CONTAINERS):
        shown = _USER.sub(r"\1***@", shown)
    if _WEB.match(shown):
        shown = shown.partition("#")[0]
        location, question, _ = shown.partition("?")
        return location + (question and "?***")
    return _SECRET_VALUE.sub(r"\1***", shown)
