"""URLs and messages without what could be a secret.

Pure functions. They work on text rather than on parsed URLs, which a secret with ``/``, ``#`` or
``?`` in it would split in the wrong place.
"""

from __future__ import annotations

import re

__all__ = ["public_text", "public_url"]

#: ``user:password@`` after a scheme; a port's digits are no password.
_USER_AND_PASSWORD = re.compile(r"^([A-Za-z][\w+.\-]*:/{0,2})[^/@:]*:(?!\d+/)[^@]*(?:@[^/@]*)*@")
#: ``token@``: before the first ``/`` all the same, but a container in abfs://container@account.
_USER = re.compile(r"^([A-Za-z][\w+.\-]*://)[^/@]*@")
_WEB = re.compile(r"https?:/", re.IGNORECASE)
_NEXT_LINK = re.compile(r"[A-Za-z][\w+.\-]*:/")
#: A value that lets somebody in, by its name: where a ``?`` may be a key's, all else is shown.
_SECRET_VALUE = re.compile(
    r"([?&;][\w.\-]*(?:auth|cred|key|pass|pwd|secret|sig|token)[\w.\-]*=)[^&;\s'\"]*", re.IGNORECASE
)
_CONTAINERS = ("abfs://", "abfss://", "az://", "s3://", "s3a://", "gs://", "gcs://")

_USER_IN_TEXT = re.compile(r"(://)[^/\s@'\"]*@")
#: The second form is urllib3's, which names the host beside it.
_QUERY_IN_TEXT = re.compile(r"((?:https?://|\burl: /)[^\s?\"]+)\?[^\s'\"]*", re.IGNORECASE)


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
    shown = _QUERY_IN_TEXT.sub(r"\1?***", _USER_IN_TEXT.sub(r"\1***@", text))
    return _SECRET_VALUE.sub(r"\1***", shown)


def _public_link(link: str) -> str:
    shown = _USER_AND_PASSWORD.sub(r"\1***@", link)
    if not shown.startswith(_CONTAINERS):
        shown = _USER.sub(r"\1***@", shown)
    if _WEB.match(shown):
        shown = shown.partition("#")[0]
        place, question, _ = shown.partition("?")
        return place + (question and "?***")
    return _SECRET_VALUE.sub(r"\1***", shown)
