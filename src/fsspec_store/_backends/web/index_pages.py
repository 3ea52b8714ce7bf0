"""Parser for the index page of a directory on a web server. Does no I/O.

An index page is recognized by its links: they lead to children of the directory, their texts are
the children's names, and everything else is what servers write on such pages. Other pages are
rejected: their links are not a complete listing of the directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from .html import Link, PageText, read_page

__all__ = ["IndexPage", "parse_index"]

#: Headings of index pages, followed by a path: Apache, nginx, lighttpd, Python, Jetty, Tomcat, IIS.
_INDEX_HEADING = re.compile(
    r"(?:index of|directory listing (?:for|of)|listing of|listing directory|directory:|\S+ -(?= /))"
    r"\s+(.*)",
    re.IGNORECASE | re.DOTALL,
)
#: Query of links that sort the page: Apache, Caddy, rclone.
_SORT = re.compile(r"C=[A-Z][;&]O=[A-Z]|sort=\w+&order=(?:asc|desc)|order=\w+&sort=\w+")
#: Texts of links to the parent directory, including Tomcat's "Up To [/data]".
_PARENT = re.compile(
    r"\W*(?:\.\.|(?:to |go )?(?:parent(?: directory| folder)?|up)|up to \[/.*)\W*", re.IGNORECASE
)
#: Truncated names: by nginx and Apache, by others.
_TRUNCATED = re.compile(r"(.{3,}?)(?:\.\.>|\.\.\.|\u2026)", re.DOTALL)
#: Words on index pages that are not names: dates, sizes, types, column headings.
_WORD = re.compile(r"&\w+|[^\W\d_]{2,}")
_COLUMNS = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec am pm gmt utc kb mb gb tb kib mib "  # noqa: SIM905
    "gib tib byte bytes dir directory file files folder link name size date time last modified "
    "type description parent".split()
)
#: The usual relative link to a child, which needs only unquoting.
_PLAIN = re.compile(r"(?:\./)?([\w.%,;=@+()~!$*-][\w.%,;=@+()~!$*' -]*)(/?)")


class IndexPage(NamedTuple):
    """The direct children of a directory: names of objects and of prefixes, without ``/``."""

    objects: list[str]
    prefixes: list[str]


def parse_index(page: str, url: str) -> IndexPage | None:
    """The children that the index page of a directory links to; ``None`` for any other page.

    The path of the directory's URL ends in ``/``.
    """
    found = read_page(page)
    here = urlsplit(url)
    base = urljoin(url, found.base) if found.base else url
    links = _sorted_links(here, base, found.links)
    if not _is_index(found, here, links):
        return None
    return IndexPage(
        [name for name, is_prefix in links.children if not is_prefix],
        [name for name, is_prefix in links.children if is_prefix],
    )


@dataclass(slots=True)
class _Links:
    """The links of a page, grouped by target."""

    #: Link texts by name and whether the child is a prefix.
    children: dict[tuple[str, bool], list[str]] = field(default_factory=dict)
    #: Whether a link to the parent directory has a matching text.
    has_parent_link: bool = False
    #: Whether a link sorts the page.
    has_sort_link: bool = False
    #: Number of links to the directory and those above it.
    above: int = 0
    #: Number of links to anything else, on this server or another.
    elsewhere: int = 0


def _sorted_links(here: SplitResult, base: str, links: list[Link]) -> _Links:
    found = _Links()
    path = unquote(here.path)
    parent = path[: path.rstrip("/").rfind("/") + 1] or "/"
    is_relative_to_here = base == here.geturl()
    for link in links:
        child = _plain_child(link.href) if is_relative_to_here else None
        if child is None:
            try:
                target = urlsplit(urljoin(base, link.href))
            except ValueError:
                found.elsewhere += 1
                continue
            child = _child(here, target)
        if child is not None:
            found.children.setdefault(child, []).append(" ".join(link.text.split()))
            continue
        above = unquote(target.path)
        if target.netloc == here.netloc and path.startswith(above.rstrip("/") + "/"):
            found.above += 1
            is_parent = above.rstrip("/") == parent.rstrip("/")
            found.has_parent_link |= is_parent and _PARENT.fullmatch(link.text) is not None
            found.has_sort_link |= above == path and _SORT.fullmatch(target.query) is not None
        elif not _is_alternative_child(here, target):
            found.elsewhere += 1
    return found


def _is_index(page: PageText, here: SplitResult, links: _Links) -> bool:
    headings = [" ".join(heading.split()) for heading in page.headings]
    has_words = any(
        word.lower() not in _COLUMNS
        for text in page.other
        for word in _WORD.findall(text)
        if not word.startswith("&")
    )
    if page.has_pre and not headings and not page.other:
        # Go's file server: only links.
        return not links.above and not links.elsewhere
    if not all(_is_named(name, texts) for (name, _), texts in links.children.items()):
        return False
    paths = [path for heading in headings if (path := _indexed_path(heading, here)) is not None]
    if paths:
        if links.has_parent_link or links.has_sort_link or (links.children and "/" in paths):
            # The top of a server has no parent link.
            return True
        # Without these links it may be any page with that title, a page that a script fills, or
        # an index page with nothing but names.
        is_filled = page.has_script and not links.children
        return not (is_filled or has_words or links.elsewhere or links.above)
    if links.elsewhere and not links.has_sort_link:
        return False
    if links.has_sort_link:
        # Caddy and rclone, whose title is the directory's name or path.
        return links.has_parent_link or any(_is_tail(heading, here) for heading in headings)
    return links.has_parent_link and bool(links.children) and not has_words


def _indexed_path(heading: str, here: SplitResult) -> str | None:
    """The path in the heading of an index page; ``None`` for other headings."""
    match = _INDEX_HEADING.match(heading)
    if match is None:
        return None
    path = match[1].strip(" []")
    # Behind a proxy the path may differ: any path is accepted, but no sentence with a "/".
    is_path = path.startswith("/") or ("/" in path and " " not in path)
    return path if is_path or _is_tail(path, here) else None


def _is_tail(path: str, here: SplitResult) -> bool:
    """Whether this is the path of the directory or ends it."""
    names = path.strip("/").split("/")
    if names == [""]:
        return path == "/"
    # HTML collapses spaces.
    parents = [" ".join(unquote(name).split()) for name in here.path.strip("/").split("/")]
    return parents[-len(names) :] == names


def _is_named(name: str, texts: list[str]) -> bool:
    """Whether one of the texts is or contains the name, which may be truncated."""
    if not name.isascii():
        # The page may state a wrong charset.
        return True
    name = " ".join(name.split())
    for text in texts:
        # ``/`` and ``@`` as in ``ls -F``.
        if text.rstrip("/@") == name or text.endswith(" " + name):
            return True
        if text.startswith((name + " ", name + "/ ")) or text.endswith(f" {name}/"):
            return True
        truncated = _TRUNCATED.fullmatch(text)
        if truncated is not None and name.startswith(truncated[1]):
            return True
    return False


def _plain_child(href: str) -> tuple[str, bool] | None:
    """Like `_child`, for links that need no resolving."""
    match = _PLAIN.fullmatch(href)
    if match is None:
        return None
    try:
        return _checked(unquote(match[1], errors="strict"), bool(match[2]))
    except UnicodeError:
        return None


def _child(here: SplitResult, link: SplitResult) -> tuple[str, bool] | None:
    """The name of a direct child of the directory ``here``, and whether it is a prefix."""
    if link.netloc != here.netloc or link.query not in ("", here.query) or link.fragment:
        return None
    try:
        parents = [unquote(part, errors="strict") for part in here.path.split("/")[:-1]]
        parts = [unquote(part, errors="strict") for part in link.path.split("/")]
        link.path.encode()
    except UnicodeError:
        # Keys are valid UTF-8.
        return None
    name, *rest = parts[len(parents) :] or [""]
    if parts[: len(parents)] != parents or rest not in ([], [""]):
        return None
    return _checked(name, bool(rest))


def _checked(name: str, is_prefix: bool) -> tuple[str, bool] | None:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        return None
    return name, is_prefix


def _is_alternative_child(here: SplitResult, link: SplitResult) -> bool:
    """Whether this is another link to a child: with a query (download) or a fragment."""
    plain = link._replace(query=here.query, fragment="")
    return _child(here, plain) is not None or link.scheme in ("javascript", "")
