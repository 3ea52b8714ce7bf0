"""Checks of keys and prefixes. No I/O.

The rules of one service, such as the maximum length of a file name, are in its backend.
"""

from __future__ import annotations

import re

from ..errors import InvalidKeyError

__all__ = ["check_key", "check_prefix", "directory_prefix", "is_listable"]

#: An empty, ``.`` or ``..`` segment.
_BAD_SEGMENT = re.compile(r"(?:^|/)\.{0,2}(?:/|$)")


def check_key(key: object) -> str:
    """Return the key, or raise `InvalidKeyError` with the rule that it breaks.

    A key is a relative path of segments joined by ``/``, none of them empty, ``.`` or ``..``. It
    contains no NUL and can be encoded as UTF-8. Nothing is escaped or normalised.
    """
    if type(key) is str and key.isascii() and "\0" not in key and not _BAD_SEGMENT.search(key):
        # The checks below are slower. They find the rule for the message.
        return key
    if not isinstance(key, str):
        raise InvalidKeyError(f"key must be a str, got {type(key).__name__}: {key!r}")
    if not key:
        raise InvalidKeyError("key must not be empty, got ''", key=key)
    _check_text(key, "key")
    _check_segments(key.split("/"), key, "key")
    return key


def check_prefix(prefix: object) -> str:
    """Return the string prefix, or raise `InvalidKeyError` when no key can begin with it."""
    if not isinstance(prefix, str):
        raise InvalidKeyError(f"prefix must be a str, got {type(prefix).__name__}: {prefix!r}")
    _check_text(prefix, "prefix")
    # The last segment may be incomplete: "." is the beginning of ".zattrs".
    _check_segments(prefix.split("/")[:-1], prefix, "prefix")
    return prefix


def directory_prefix(prefix: object) -> str:
    """Return ``""``, or the checked prefix with one ``/`` at its end."""
    text = check_prefix(prefix)
    if not text:
        return ""
    return check_prefix(text if text.endswith("/") else text + "/")


def is_listable(path: str) -> bool:
    """Whether a listed path is a valid key. Markers of directories and some objects are not."""
    return _BAD_SEGMENT.search(path) is None


def _check_text(text: str, what: str) -> None:
    if "\0" in text:
        raise InvalidKeyError(f"{what} must not contain NUL, got {text!r}", key=text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidKeyError(
            f"{what} must be encodable as UTF-8, got {text!r}", key=text
        ) from None


def _check_segments(segments: list[str], text: str, what: str) -> None:
    if "" in segments:
        rule = "be relative" if text.startswith("/") else "not contain an empty segment"
        raise InvalidKeyError(f"{what} must {rule}, got {text!r}", key=text)
    if "." in segments or ".." in segments:
        raise InvalidKeyError(
            f"{what} must not contain segments '.' or '..', got {text!r}", key=text
        )
