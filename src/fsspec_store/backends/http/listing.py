"""What a web server's index page of a directory lists.

Pure functions on HTML and URLs, no I/O. A page is taken for an index page by its links: they lead
to children of the directory and carry the children's names, beside what generators of such pages
write. No other page is taken for one: the links of an ordinary page are not the whole directory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from .html import Link, PageText, read_page

__all__ = ["Listing", "parse_index"]

#: Headings of index pages: Apache, nginx, lighttpd, Python, Jetty, Tomcat; IIS. A path follows.
_INDEX_HEADING = re.compile(
    r"(?:index of|directory listing (?:for|of)|listing of|listing directory|directory:|\S+ -(?= /))"
    r"\s+(.*)",
    re.IGNORECASE | re.DOTALL,
)
#: Links of an index page to itself in another order: of Apache, Caddy, rclone.
_ORDER = re.compile(r"C=[A-Z][;&]O=[A-Z]|sort=\w+&order=(?:asc|desc)|order=\w+&sort=\w+")
#: Texts of links to the parent directory, Tomcat's among them: "Up To [/data]".
_UP = re.compile(
    r"\W*(?:\.\.|(?:to |go )?(?:parent(?: directory| folder)?|up)|up to \[/.*)\W*", re.IGNORECASE
)
#: How names are cut off: by nginx and Apache, by others.
_CUT = re.compile(r"(.{3,}?)(?:\.\.>|\.\.\.|\u2026)", re.DOTALL)
#: Words of an index page that are no names: dates, sizes, kinds, heads of columns.
_WORD = re.compile(r"&\w+|[^\W\d_]{2,}")
_COLUMNS = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec am pm gmt utc kb mb gb tb kib mib "  # noqa: SIM905
    "gib tib byte bytes dir directory file files folder link name size date time last modified "
    "type description parent".split()
)
#: A relative link to a child, as most are written: a name in it needs no more than unquoting.
_PLAIN = re.compile(r"(?:\./)?([\w.%,;=@+()~!$*-][\w.%,;=@+()~!$*' -]*)(/?)")


class Listing(NamedTuple):
    """The direct children of a directory: names of objects, and of prefixes without ``/``."""

    objects: list[str]
    prefixes: list[str]


def parse_index(page: str, url: str) -> Listing | None:
    """The children that an index page links to; ``None`` when it is no index page.

    Parameters
    ----------
    page : str
        HTML.
    url : str
        Where it came from: a directory's URL, whose path ends in ``/``.
    """
    found = read_page(page)
    here = urlsplit(url)
    base = urljoin(url, found.base) if found.base else url
    links = _sorted_links(here, base, found.links)
    if not _is_index(found, here, links):
        return None
    return Listing(
        [name for name, is_prefix in links.children if not is_prefix],
        [name for name, is_prefix in links.children if is_prefix],
    )


@dataclass(slots=True)
class _Links:
    """The links of a page by where they lead."""

    #: Name and whether it is a prefix, and the texts of its links.
    children: dict[tuple[str, bool], list[str]] = field(default_factory=dict)
    #: To the parent directory, and called so.
    leads_up: bool = False
    #: To the page itself, in another order.
    has_orders: bool = False
    #: To the directory itself and those above it.
    above: int = 0
    #: To anywhere else, of this server or another.
    elsewhere: int = 0


def _sorted_links(here: SplitResult, base: str, links: list[Link]) -> _Links:
    found = _Links()
    path = unquote(here.path)
    parent = path[: path.rstrip("/").rfind("/") + 1] or "/"
    is_relative_to_here = base == here.geturl()
    for link in links:
        child = _plain_child(link.href) if is_relative_to_here else None
        target = None
        if child is None:
            target = _resolved(base, link.href)
            child = None if target is None else _child(here, target)
        if child is not None:
            found.children.setdefault(child, []).append(" ".join(link.text.split()))
            continue
        if target is None:
            found.elsewhere += 1
            continue
        above = unquote(target.path)
        if target.netloc == here.netloc and path.startswith(above.rstrip("/") + "/"):
            found.above += 1
            is_parent = above.rstrip("/") == parent.rstrip("/")
            found.leads_up |= is_parent and _UP.fullmatch(link.text) is not None
            found.has_orders |= above == path and _ORDER.fullmatch(target.query) is not None
        elif not _is_child_otherwise(here, target):
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
        # Go's file server: nothing besides the links.
        return not links.above and not links.elsewhere
    if not all(_is_named(name, texts) for (name, _), texts in links.children.items()):
        return False
    paths = [path for heading in headings if (path := _indexed_path(heading, here)) is not None]
    if paths:
        if links.leads_up or links.has_orders or (links.children and "/" in paths):
            # From the top of a server nothing leads up.
            return True
        # A page without either may be any page of that title, or one that a script is to fill, or
        # an index by a server that writes nothing but names.
        is_filled = page.has_script and not links.children
        return not (is_filled or has_words or links.elsewhere or links.above)
    if links.elsewhere and not links.has_orders:
        return False
    if links.has_orders:
        # Of Caddy and rclone, whose title is the name or the path.
        return links.leads_up or any(_is_tail(heading, here) for heading in headings)
    return links.leads_up and bool(links.children) and not has_words


def _indexed_path(heading: str, here: SplitResult) -> str | None:
    """The path of the directory whose index has this heading; ``None`` for other headings."""
    match = _INDEX_HEADING.match(heading)
    if match is None:
        return None
    path = match[1].strip(" []")
    # A proxy may have another path before it, or none: any will do, and no sentence with a "/".
    is_path = path.startswith("/") or ("/" in path and " " not in path)
    return path if is_path or _is_tail(path, here) else None


def _is_tail(path: str, here: SplitResult) -> bool:
    """Whether this is the path of the directory, or the end of it."""
    names = path.strip("/").split("/")
    if names == [""]:
        return path == "/"
    # Headings have a space for several.
    parents = [" ".join(unquote(name).split()) for name in here.path.strip("/").split("/")]
    return parents[-len(names) :] == names


def _is_named(name: str, texts: list[str]) -> bool:
    """Whether one of the texts is the name, which may be cut off, or stand beside other things."""
    if not name.isascii():
        # Pages in another charset than they say.
        return True
    name = " ".join(name.split())
    for text in texts:
        # ``/`` and ``@`` as ``ls -F`` has them.
        if text.rstrip("/@") == name or text.endswith(" " + name):
            return True
        if text.startswith((name + " ", name + "/ ")) or text.endswith(f" {name}/"):
            return True
        cut = _CUT.fullmatch(text)
        if cut is not None and name.startswith(cut[1]):
            return True
    return False


def _resolved(url: str, href: str) -> SplitResult | None:
    try:
        return urlsplit(urljoin(url, href.strip()))
    except ValueError:
        return None


def _plain_child(href: str) -> tuple[str, bool] | None:
    """As `_child`, for links that need not be resolved."""
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
        # No key is called so.
        return None
    name, *rest = parts[len(parents) :] or [""]
    if parts[: len(parents)] != parents or rest not in ([], [""]):
        return None
    return _checked(name, bool(rest))


def _checked(name: str, is_prefix: bool) -> tuple[str, bool] | None:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        return None
    return name, is_prefix


def _is_child_otherwise(here: SplitResult, link: SplitResult) -> bool:
    """Whether this is a child in another form: to be downloaded, or a place in it."""
    plain = link._replace(query=here.query, fragment="")
    return _child(here, plain) is not None or link.scheme in ("javascript", "")
