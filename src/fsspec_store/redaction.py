"""URLs and messages without what could be a secret.

Pure functions. They work on text rather than on parsed URLs, which a secret with ``/``, ``#`` or
``?`` in it would split in the wrong place.
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

#: ``user:password@`` after a scheme; a port's digits are no password.
_USER_AND_PASSWORD = re.compile(r"^([A-Za-z][\w+.\-]*:/{0,2})[^/@:]*:(?!\d+/)[^@]*(?:@[^/@]*)*@")
#: ``token@``: before the first ``/`` all the same, but a container in abfs://container@account.
_USER = re.compile(r"^([A-Za-z][\w+.\-]*://)[^/@]*@")
_WEB = re.compile(r"https?:/", re.IGNORECASE)
_NEXT_LINK = re.compile(r"[A-Za-z][\w+.\-]*:/")
#: A value that lets somebody in, by its name: where a ``?`` may be a key's, all else is shown.
#: The look ahead keeps the time linear: it passes over a long name that no ``=`` follows.
_SECRET_VALUE = re.compile(
    r"([?&;](?=[\w.\-]*+=)[\w.\-]*(?:auth|cred|key|pass|pwd|secret|sig|token|upload_id)[\w.\-]*=)"
    r"[^&;\s'\"]*",
    re.IGNORECASE,
)
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
#: What an ``Authorization`` header holds, wherever a message repeats it.
_AUTHORIZATION_IN_TEXT = re.compile(
    r"\b((?:Basic|Bearer|SharedKey|SharedKeyLite) |Signature=)[\w.~+/:=-]{16,}"
)
#: A signed assertion (RFC 7519), by which Google's accounts ask for a token. What follows its first
#: part may be missing, so that a long text is passed over as a whole, in linear time.
_JWT_IN_TEXT = re.compile(r"\beyJ[\w-]{8,}+(\.[\w-]{8,}+\.[\w-]{8,}+)?")
_SECRET_NAME = re.compile(
    r"auth|cookie|cred|key|pass|pwd|secret|sig|token|upload_id|connection_string", re.IGNORECASE
)
#: Headers without secrets, in lower case: all others may have been configured by the user.
_PUBLIC_HEADER = re.compile(
    r"accept.*|cache-control|connection|content-.*|date|expect|host|if-.*|range|transfer-encoding"
    r"|user-agent|x-amz-(date|content-sha256|checksum-.*|meta-.*|request-payer)|x-goog-api-client"
    r"|x-ms-(blob-type|date|meta-.*|range|version)|x-upload-content-.*"
)
#: Shorter ones are words, and would be hidden wherever they occur.
_SHORTEST_SECRET = 5
#: Of Amazon's, which are no secrets either (IAM User Guide, "Unique identifiers").
_SHORTEST_ACCESS_KEY = 16
#: What stands for credentials, and is none (gcsfs's ``token``).
_NO_SECRETS = frozenset({"anonymous", "browser", "cache", "cloud", "google_default"})
_CONTAINERS = ("abfs://", "abfss://", "az://", "s3://", "s3a://", "gs://", "gcs://")

_USER_IN_TEXT = re.compile(r"(://)[^/\s@'\"]*@")
#: The second form is urllib3's, which names the host beside it.
#: The query may be missing, so that a long URL is passed over as a whole, in linear time.
_QUERY_IN_TEXT = re.compile(r"((?:https?://|\burl: /)[^\s?\"]++)(\?[^\s'\"]*)?", re.IGNORECASE)


def public_url(url: str) -> str:
    """The URL without a user's name, password or token, and without a web URL's query."""
    links: list[str] = []
    for part in url.split("::"):
        # A web URL is the last link of a chain: its "::" is an IPv6 address or a name.
        if links and _WEB.match(links[-1]) and not _NEXT_LINK.match(part):
            links[-1] += "::" + part
        else:
            links.append(part)
    return "::".join(map(_public_link, links))


def public_text(text: str) -> str:
    """A library's message without the secrets of the URLs in it."""
    shown = _QUERY_IN_TEXT.sub(
        lambda match: match[1] + ("?***" if match[2] else ""), _USER_IN_TEXT.sub(r"\1***@", text)
    )
    shown = _JWT_IN_TEXT.sub(
        lambda match: "***" if match[1] else match[0], _SECRET_VALUE.sub(r"\1***", shown)
    )
    return _AUTHORIZATION_IN_TEXT.sub(r"\1***", shown)


class PrivateURL(str):
    """A URL whose representation, which debuggers show of a variable, holds no secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(public_url(self))


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text with ``***`` in place of these strings.

    They are found as they are, and as URLs, XML, HTML and JSON write them.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = _pattern(secret).sub("***", text)
    return text


def request_secrets(url: str, headers: Mapping[str, str]) -> set[str]:
    """Credentials of a request, parts of its URL and headers, which a service may repeat."""
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
    """The strings among storage options that are secrets, by the names of the options."""
    found: set[str] = set()
    for name, value in options.items():
        nested = getattr(value, "storage_options", None)
        if isinstance(nested, Mapping):
            found |= secret_options(nested)
        elif "header" in str(name).lower() and isinstance(value, Mapping):
            found |= request_secrets("", {str(key): str(each) for key, each in value.items()})
        elif name == "key" and len(str(value)) < _SHORTEST_ACCESS_KEY:
            # A user's name of a server of one's own, which may be a part of any other name.
            continue
        elif _SECRET_NAME.search(str(name)):
            for text in _texts(value):
                found |= {text, unquote(text)}
                # Connection strings, and signatures in the form of a query.
                found |= {
                    unquote(part.partition("=")[2])
                    for part in re.split("[;&?]", text)
                    if _SECRET_NAME.search(part.partition("=")[0])
                }
        elif isinstance(value, Mapping):
            found |= secret_options(value)
    # The path of a file with credentials is no secret, and what is wrong with it is often asked.
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
    """An expression for a character in all the spellings that a response may have."""
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
        place, question, _ = shown.partition("?")
        return place + (question and "?***")
    return _SECRET_VALUE.sub(r"\1***", shown)
