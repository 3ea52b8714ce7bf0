"""What a key may be, and how it joins the store's root.

Pure functions. What one service cannot hold (a file name of 300 bytes) is that backend's business.
"""

from __future__ import annotations

import re

from ..errors import InvalidKeyError

__all__ = ["check_key", "check_prefix", "directory_prefix", "is_listable"]

#: An empty, ``.`` or ``..`` segment.
_BAD_SEGMENT = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def check_key(key: object) -> str:
    """Return the key, or refuse it.

    Parameters
    ----------
    key : str
        Relative path whose segments are joined by ``/``: at least one segment, none of them
        empty, ``.`` or ``..``; no NUL; encodable as UTF-8. Nothing is escaped or normalised.

    Raises
    ------
    InvalidKeyError
        A ``ValueError`` that says what is wrong with the key.
    """
    if type(key) is str and key.isascii() and "\0" not in key and not _BAD_SEGMENT.search(key):
        # The checks below are slower. They say what is wrong.
        return key
    if not isinstance(key, str):
        raise InvalidKeyError(f"a key is a str, got {type(key).__name__}: {key!r}")
    if not key:
        raise InvalidKeyError("a key is not empty, got ''", key=key)
    _check_text(key, "key")
    _check_segments(key.split("/"), key, "key")
    return key


def check_prefix(prefix: object) -> str:
    """Return the string prefix of keys, or refuse it.

    Parameters
    ----------
    prefix : str
        ``""``, or the beginning of a key: its last segment may be cut off anywhere.

    Raises
    ------
    InvalidKeyError
        When no key could begin with it.
    """
    if not isinstance(prefix, str):
        raise InvalidKeyError(f"a prefix is a str, got {type(prefix).__name__}: {prefix!r}")
    _check_text(prefix, "prefix")
    # The last segment is a beginning: "." begins ".zattrs".
    _check_segments(prefix.split("/")[:-1], prefix, "prefix")
    return prefix


def directory_prefix(prefix: object) -> str:
    """Return ``""``, or the prefix with exactly one ``/`` at its end: ``foo`` and ``foo/`` are one.

    Raises
    ------
    InvalidKeyError
        When it is not the path of a key's parent.
    """
    text = check_prefix(prefix)
    if not text:
        return ""
    return check_prefix(text if text.endswith("/") else text + "/")


def is_listable(path: str) -> bool:
    """Whether what a service lists is a key: markers and some other objects are none."""
    return _BAD_SEGMENT.search(path) is None


def _check_text(text: str, what: str) -> None:
    if "\0" in text:
        raise InvalidKeyError(f"a {what} holds no NUL, got {text!r}", key=text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidKeyError(f"a {what} is encodable as UTF-8, got {text!r}", key=text) from None


def _check_segments(segments: list[str], text: str, what: str) -> None:
    if "" in segments:
        problem = "is relative" if text.startswith("/") else "has no empty segment"
        raise InvalidKeyError(f"a {what} {problem}, got {text!r}", key=text)
    if "." in segments or ".." in segments:
        raise InvalidKeyError(f"a {what} has no segment '.' or '..', got {text!r}", key=text)
