"""Checks of what a service lists: entries of the folder that was asked for, and an end.

Keys are deleted, counted and returned as pages list them, so an entry that was not asked for must
not pass. Knows pages, and no service.
"""

from __future__ import annotations

import logging
import re
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from ..redaction import public_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from .base import Page

__all__ = [
    "MAX_EMPTY_PAGES",
    "Continuation",
    "answered_prefix",
    "check_answered",
    "checked_pages",
    "refuse_relative",
]

logger = logging.getLogger("fsspec_store.listing")

#: Pages without a new entry that may follow each other. Google and Azure may send pages that are
#: empty and not the last (Cloud Storage, "Objects: list"; Azure, "List Blobs"), and give no bound.
MAX_EMPTY_PAGES = 10_000

#: A ``.`` or ``..`` segment.
_RELATIVE_SEGMENT = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")

#: More than the longest prefix takes, with all that comes before it.
_HEAD_BYTES = 16 * 2**10
_ENTRY = re.compile(rb"<(?:Contents|CommonPrefixes|Blobs)[ >/]")
_PREFIX = re.compile(rb"<Prefix>([^<]*)</Prefix>")
#: In this order, so that what an ampersand begins is read once.
_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "#34": '"', "apos": "'", "#39": "'", "amp": "&"}


async def checked_pages(
    pages: AsyncGenerator[Page, None],
    directory: str,
    stem: str,
    *,
    recursive: bool,
    redactor: Callable[[], Callable[[str], str]],
) -> AsyncGenerator[Page, None]:
    """Yield the pages of a listing, with the entries that were asked for and no others.

    A service or a cache that ignores the prefix, or the delimiter, lists more than was asked for.
    An answer with entries that begin with the prefix and entries that do not is such a list: it is
    of a shorter prefix, so nothing is missing, and the other entries are left out. An answer
    without any entry that begins with the prefix may be one to another question, and is an error.

    Parameters
    ----------
    pages : AsyncGenerator
        As of `Backend.pages`, which had the other parameters. Belongs to this one from now on.
    directory, stem, recursive
        See `Backend.pages`.
    redactor : callable
        See `Backend.redactor`: a service may list what it was sent.

    Raises
    ------
    OSError
        For a page of which nothing begins with what was asked for, unless a page before it showed
        that the service lists more; and for common prefixes where none were asked for.
    """
    begin = directory + stem
    ignores_prefix = False
    async with aclosing(pages):
        async for page in pages:
            others = _others(page, begin)
            if others:
                page = _beginning(page, begin)
                if not ignores_prefix:
                    if not (page.objects or page.prefixes or page.temporary):
                        raise OSError(
                            f"a listing of {begin!r} was answered with {others[0]!r}, which does "
                            "not begin with that: the answer may be one to another request"
                        )
                    ignores_prefix = True
                    clean = redactor()
                    logger.warning(
                        "a listing of %r was answered with %r as well: the service or a proxy "
                        "ignores the prefix, and what was not asked for is left out",
                        clean(public_url(begin)),
                        clean(public_url(others[0])),
                    )
            if recursive and page.prefixes:
                raise OSError(
                    f"a listing of all below {begin!r} was answered with the common prefix "
                    f"{page.prefixes[0]!r}: what is below it would be missing"
                )
            yield page if recursive else _one_level(page, directory)


def _others(page: Page, begin: str) -> list[str]:
    """Some of the entries that do not begin so, if there are any."""
    # A list takes a third of the time of a generator, and of every other way to ask.
    return (
        [path for path, _ in page.objects if not path.startswith(begin)]
        or [path for path in page.temporary if not path.startswith(begin)]
        # The prefix of a marker of the directory itself is the directory.
        or [prefix for prefix in page.prefixes if not f"{prefix}/".startswith(begin)]
    )


def _beginning(page: Page, begin: str) -> Page:
    return page._replace(
        objects=[entry for entry in page.objects if entry[0].startswith(begin)],
        prefixes=[prefix for prefix in page.prefixes if f"{prefix}/".startswith(begin)],
        temporary=[path for path in page.temporary if path.startswith(begin)],
    )


def _one_level(page: Page, directory: str) -> Page:
    """The page with what lies further below grouped, as the delimiter asks for."""
    root = len(directory)
    # A marker of a folder may be listed beside it.
    deep = [path for path, _ in page.objects if "/" in path[root:-1]]
    deep += [path for path in page.prefixes if "/" in path[root:-1]]
    if not deep:
        return page
    return page._replace(
        objects=[entry for entry in page.objects if "/" not in entry[0][root:-1]],
        prefixes=[
            *(path for path in page.prefixes if "/" not in path[root:-1]),
            *dict.fromkeys(directory + path[root:].partition("/")[0] for path in deep),
        ],
    )


def refuse_relative(paths: Sequence[str], directory: str) -> None:
    """Refuse to remove what a server or a proxy on the way may take for another path.

    Raises
    ------
    OSError
        For a path with a ``.`` or ``..`` segment below the directory (RFC 3986, section 5.2.4).
    """
    text = "/" + "/\n/".join(paths) + "/"
    if "/./" not in text and "/../" not in text:
        return
    for path in paths:
        if _RELATIVE_SEGMENT.search(path[len(directory) :]):
            raise OSError(
                f"a listing of {directory!r} was answered with {path!r}, which has a segment "
                "'.' or '..' and is not removed: it may be taken for a path outside of that folder"
            )


def answered_prefix(body: bytes) -> str:
    """The prefix that a listing in XML says it is of, ``""`` where it says none.

    S3 and Azure name it before the first entry ("ListObjectsV2", "List Blobs").
    """
    head = body[:_HEAD_BYTES]
    entry = _ENTRY.search(head)
    match = _PREFIX.search(head, 0, len(head) if entry is None else entry.start())
    if match is None:
        return ""
    text = match[1].decode("utf-8", "replace")
    for name, character in _ENTITIES.items():
        text = text.replace(f"&{name};", character)
    return text


def check_answered(answered: str, asked: str) -> None:
    """Refuse a listing that says it is of another prefix.

    An answer that a cache kept of another request may hold nothing but keys that fit, and not all
    of them. One of a shorter prefix holds them all. Services and libraries differ in how often they
    quote the prefix, so both are compared as they are without any quotes.

    Raises
    ------
    OSError
        When it is of another one.
    """
    # XML cannot carry, or changes, other characters; services put something else in their place.
    is_comparable = asked.isascii() and asked.isprintable()
    if not answered or answered == asked or not is_comparable:
        return
    if not _unquoted(asked).startswith(_unquoted(answered).lstrip("/")):
        raise OSError(
            f"a listing of {asked!r} was answered with one of {answered!r}: the answer may be one "
            "to another request"
        )


def _unquoted(prefix: str) -> str:
    before = None
    while prefix != before:
        before, prefix = prefix, unquote_plus(prefix)
    return prefix.strip()


class Continuation:
    """The tokens and entries of one listing's pages; detects a listing without an end.

    A token and the first object of a page come once in a listing. Hashes of them are kept: 16 bytes
    and a slot of a set for each page.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._empty = 0

    def check(self, token: str, page: Page) -> None:
        """Raise unless a page may be followed by the one that a token asks for.

        Parameters
        ----------
        token : str
            The service's name for the next page.
        page : Page
            The page it came with.

        Raises
        ------
        OSError
            When the token or the page came before, and when nothing new came for
            `MAX_EMPTY_PAGES`.
        """
        self._require_new(hash(("token", token)))
        if page.objects:
            self._require_new(hash(("object", page.objects[0][0])))
        # A prefix may come on each page of what is below it.
        is_new = bool(page.objects or page.temporary)
        if page.prefixes:
            last = hash(("prefix", page.prefixes[-1]))
            is_new = is_new or last not in self._seen
            self._seen.add(last)
        self._empty = 0 if is_new else self._empty + 1
        if self._empty >= MAX_EMPTY_PAGES:
            raise OSError(
                f"the service's listing would never end: {self._empty} pages held nothing"
            )

    def _require_new(self, entry: int) -> None:
        if entry in self._seen:
            raise OSError("the service's listing leads back to where it was: it would never end")
        self._seen.add(entry)
