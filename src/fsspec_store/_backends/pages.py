"""Validation of listings: every entry is below the requested prefix, once, and the listing ends.

Listed keys are returned, counted and deleted, so entries outside of the prefix must not pass. Knows
no service.
"""

from __future__ import annotations

import logging
import re
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from .._core.redaction import public_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

__all__ = [
    "MAX_EMPTY_PAGES",
    "Continuation",
    "Details",
    "Page",
    "check_stated_prefix",
    "checked_pages",
    "pages_by_token",
    "refuse_relative",
    "stated_prefix",
]

logger = logging.getLogger("fsspec_store.listing")

#: Maximum number of consecutive pages without a new entry. Google and Azure may send empty pages
#: before the last one, without a limit (Cloud Storage, "Objects: list"; Azure, "List Blobs").
MAX_EMPTY_PAGES = 10_000

#: A ``.`` or ``..`` segment.
_RELATIVE_SEGMENT = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")

#: Bytes that are searched for the prefix: the longest prefix and everything before it are shorter.
_HEAD_BYTES = 16 * 2**10
_ENTRY = re.compile(rb"<(?:Contents|CommonPrefixes|Blobs)[ >/]")
_PREFIX = re.compile(rb"<Prefix>([^<]*)</Prefix>")
#: The ampersand is last, so that nothing is unescaped twice.
_ENTITIES = {"lt": "<", "gt": ">", "quot": '"', "#34": '"', "apos": "'", "#39": "'", "amp": "&"}


#: Unlike a read-only proxy it can be pickled.
_NO_CHECKSUMS: Mapping[str, bytes] = {}


class Details(NamedTuple):
    """What a listing states about an object besides its size.

    ``modified`` is in UTC. ``version`` is the one of `Backend.read_version`. Checksums are digests
    of the whole value by the name of the algorithm.
    """

    modified: datetime | None = None
    version: str | None = None
    checksums: Mapping[str, bytes] = _NO_CHECKSUMS


class Page(NamedTuple):
    """One page of a listing: full paths of objects with sizes in bytes, and of common prefixes.

    A size is ``None`` when the service does not list it. Prefixes have no trailing ``/``. Temporary
    objects (`fsspec_store._backends.temporary_names`) are not keys, but are removed with them.
    Folders are directories of a service, and objects that represent a directory. Details, by path,
    are only in the pages of `Backend.detailed_pages`, and so are paths that are left out, because
    they cannot be encoded as UTF-8.
    """

    objects: Sequence[tuple[str, int | None]]
    prefixes: Sequence[str] = ()
    temporary: Sequence[str] = ()
    folders: Sequence[str] = ()
    details: Mapping[str, Details] = MappingProxyType({})
    left_out: Sequence[str] = ()


async def pages_by_token(
    fetch: Callable[[str], Awaitable[tuple[Page, str]]],
) -> AsyncGenerator[Page, None]:
    """Yield the pages of a listing, and raise when it does not end.

    ``fetch`` returns the page of a token, and the token of the next page. ``""`` is the token of
    the first page, and of the page after the last one.
    """
    continuation = Continuation()
    token = ""
    while True:
        page, token = await fetch(token)
        yield page
        if not token:
            return
        continuation.check(token, page)


async def checked_pages(
    pages: AsyncGenerator[Page, None],
    directory: str,
    name_prefix: str,
    *,
    recursive: bool,
    redactor: Callable[[], Callable[[str], str]],
) -> AsyncGenerator[Page, None]:
    """Yield the pages of a listing, without repeated objects and entries outside of the prefix.

    A service or a cache that ignores the prefix, or the delimiter, lists too much. A page with
    entries inside and outside of the prefix is from such a service: nothing is missing, and the
    entries outside are removed. A page with only entries outside may be the response to another
    request: it is an ``OSError`` unless an earlier page had both kinds. So are common prefixes in a
    recursive listing.

    The pages are of `Backend.pages` for the same parameters. They are closed at the end.
    ``redactor`` is `Backend.redactor`: a service may list secrets that it received.
    """
    prefix = directory + name_prefix
    ignores_prefix = False
    async with aclosing(pages):
        async for page in pages:
            others = _outside(page, prefix)
            if others:
                page = _inside(page, prefix)
                if not ignores_prefix:
                    if not (page.objects or page.prefixes or page.temporary):
                        raise OSError(
                            f"a listing of {prefix!r} returned {others[0]!r}, which is outside "
                            "of that prefix: the response may belong to another request"
                        )
                    ignores_prefix = True
                    clean = redactor()
                    logger.warning(
                        "a listing of %r also returned %r: the service or a proxy ignores the "
                        "prefix, and entries that do not start with it are skipped",
                        clean(public_url(prefix)),
                        clean(public_url(others[0])),
                    )
            if recursive and page.prefixes:
                raise OSError(
                    f"a recursive listing of {prefix!r} returned the common prefix "
                    f"{page.prefixes[0]!r}: keys below it would be missing"
                )
            # A repeated key would be returned, counted and deleted twice.
            if len({path for path, _ in page.objects}) < len(page.objects):
                page = page._replace(objects=list(dict(page.objects).items()))
            yield page if recursive else _one_level(page, directory)


def _outside(page: Page, prefix: str) -> list[str]:
    """Some of the entries outside of the prefix, if there are any."""
    # A list comprehension takes a third of the time of a generator expression.
    return (
        [path for path, _ in page.objects if not path.startswith(prefix)]
        or [path for path in page.temporary if not path.startswith(prefix)]
        # The directory itself may be listed as a common prefix, because of its marker.
        or [path for path in page.prefixes if not f"{path}/".startswith(prefix)]
    )


def _inside(page: Page, prefix: str) -> Page:
    return page._replace(
        objects=[entry for entry in page.objects if entry[0].startswith(prefix)],
        prefixes=[path for path in page.prefixes if f"{path}/".startswith(prefix)],
        temporary=[path for path in page.temporary if path.startswith(prefix)],
    )


def _one_level(page: Page, directory: str) -> Page:
    """The page with deeper entries grouped into common prefixes, as by the delimiter."""
    root = len(directory)
    # A directory marker may be listed as an object, with a trailing "/".
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
    """Refuse to remove paths that a server or a proxy may resolve to other paths.

    Raises ``OSError`` for a ``.`` or ``..`` segment below the directory (RFC 3986, section 5.2.4).
    """
    text = "/" + "/\n/".join(paths) + "/"
    if "/./" not in text and "/../" not in text:
        return
    for path in paths:
        if _RELATIVE_SEGMENT.search(path[len(directory) :]):
            raise OSError(
                f"a listing of {directory!r} returned {path!r}, which has a segment '.' or '..' "
                "and is not removed: a server may resolve it to a path outside of the folder"
            )


def stated_prefix(body: bytes) -> str:
    """The prefix that an XML listing states, ``""`` if it states none.

    S3 and Azure state it before the first entry ("ListObjectsV2", "List Blobs").
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


def check_stated_prefix(stated: str, requested: str) -> None:
    """Raise ``OSError`` for a listing whose prefix is not the requested one, or a shorter one.

    A cache's response for another request may be incomplete although all its keys start with the
    prefix. A response for a shorter prefix is complete. Services and libraries differ in how often
    they percent-encode the prefix, so both are compared fully decoded.
    """
    # Only printable ASCII: services replace other characters, which XML may not represent.
    is_comparable = requested.isascii() and requested.isprintable()
    if not stated or stated == requested or not is_comparable:
        return
    if not _unquoted(requested).startswith(_unquoted(stated).lstrip("/")):
        raise OSError(
            f"a listing of {requested!r} returned one of {stated!r}: the response may belong to "
            "another request"
        )


def _unquoted(prefix: str) -> str:
    before = None
    while prefix != before:
        before, prefix = prefix, unquote_plus(prefix)
    return prefix.strip()


class Continuation:
    """Detects a listing that does not end, by its tokens and entries.

    A token, and the first object and folder of a page, occur once in a listing. Only their hashes
    are stored.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._empty = 0

    def check(self, token: str, page: Page) -> None:
        """Raise ``OSError`` when the listing would repeat, or goes on without a new entry.

        ``token`` is the service's token for the page after ``page``.
        """
        self._require_new(hash(("token", token)))
        for path in [*(path for path, _ in page.objects[:1]), *page.folders[:1]]:
            self._require_new(hash(("object", path)))
        # A common prefix may repeat on each page of the keys below it.
        is_new = bool(page.objects or page.temporary or page.folders)
        if page.prefixes:
            last = hash(("prefix", page.prefixes[-1]))
            is_new = is_new or last not in self._seen
            self._seen.add(last)
        self._empty = 0 if is_new else self._empty + 1
        if self._empty >= MAX_EMPTY_PAGES:
            raise OSError(
                f"the service's listing would never end: {self._empty} pages without a new entry"
            )

    def _require_new(self, entry: int) -> None:
        if entry in self._seen:
            raise OSError("the service's listing repeats a page: it would never end")
        self._seen.add(entry)
