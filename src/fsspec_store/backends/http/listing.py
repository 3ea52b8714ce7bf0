"""What a web server's index page of a directory lists.

Pure functions on HTML and URLs, no I/O. Knows the pages of nginx, Apache, lighttpd, Caddy, Python,
Go, IIS, Jetty and those that look like them, and takes no other page for one: the links of an
ordinary page are not the whole of a directory.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

__all__ = ["Listing", "parse_index"]

#: How titles and headings of index pages begin, or, on IIS, what they are.
_INDEX_TITLE = re.compile(
    r"(index of|directory listing|listing directory|directory:)\s|\S+ - /(.*/)?$", re.IGNORECASE
)
#: Caddy's titles are the directory's bare name; its pages link to themselves in other orders.
_CADDY_SORTING = re.compile(r"sort=name(dirfirst)?&order=(asc|desc)")
_HEADINGS = ("title", "h1", "h2", "h3")
_UNSEEN = ("script", "style")


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
    reader = _PageReader()
    reader.feed(page)
    reader.close()
    here = urlsplit(url)
    links = [link for href in reader.links if (link := _resolved(url, href)) is not None]
    if not _is_index(reader, here, links):
        return None
    children = [child for link in links if (child := _child(here, link)) is not None]
    return Listing(
        list(dict.fromkeys(name for name, is_prefix in children if not is_prefix)),
        list(dict.fromkeys(name for name, is_prefix in children if is_prefix)),
    )


class _PageReader(HTMLParser):
    """Collects links, headings, and whether there is text that is neither."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.headings: list[str] = []
        self.has_pre = False
        self.has_other_text = False
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
        elif tag == "pre":
            self.has_pre = True
        elif tag in _HEADINGS:
            self.headings.append("")
        # Links within headings are part of the heading.
        if tag in (*_HEADINGS, *_UNSEEN) or (tag == "a" and self._inside is None):
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside in _HEADINGS:
            self.headings[-1] += data
        elif self._inside is None and data.strip():
            self.has_other_text = True


def _is_index(page: _PageReader, here: SplitResult, links: list[SplitResult]) -> bool:
    headings = [heading.strip() for heading in page.headings]
    if any(_INDEX_TITLE.match(heading) for heading in headings):
        return True
    sortings = any(
        link.path == here.path and _CADDY_SORTING.fullmatch(link.query) for link in links
    )
    if sortings and headings and headings[0].strip("/") == unquote(here.path.split("/")[-2]):
        return True
    # Go's file server: no title, no heading, and not a word besides the links.
    bare = page.has_pre and not headings and not page.has_other_text
    return bare and all(_child(here, link) is not None for link in links)


def _resolved(url: str, href: str) -> SplitResult | None:
    try:
        return urlsplit(urljoin(url, href.strip()))
    except ValueError:
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
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        return None
    return name, bool(rest)
