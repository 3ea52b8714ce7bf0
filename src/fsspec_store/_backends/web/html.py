"""Links, headings and text of an HTML page, parsed in linear time.

Python's ``html.parser`` takes quadratic time for some pages. This parser follows the tokenizer of
the HTML standard (WHATWG HTML, section 13.2.5) as far as links need it. Does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

__all__ = ["Link", "PageText", "read_page"]

#: A comment, a tag, or a declaration. An unclosed one matches up to the end of the page, and the
#: quantifiers are possessive: without backtracking the time is linear.
_TOKEN = re.compile(
    r"""<(?:
        !--(?:.*?-->|.*)
        | (?P<end>/?)(?P<name>[a-z][^\s/>]*+)(?P<attributes>(?:
            [^>"'=]++ | =\s*+(?:"[^"]*+"?+|'[^']*+'?+)?+ | ["']
          )*+)>?
        | [!?/][^>]*+>?
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"""([^\s/=>"']++)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s"'][^\s]*+)?))?+"""
)
#: The end tags of elements whose content has no tags.
_RAW_END = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title")
}
_HEADINGS = frozenset({"title", "h1", "h2", "h3"})
#: Maximum length of a heading or of a link's text; the rest is ignored.
_LONGEST_TEXT = 4096
#: Maximum length of the attributes of a tag; also bounds the digits of a character reference.
_LONGEST_HREF = 2**16


@dataclass(slots=True)
class Link:
    """A link: its ``href`` attribute, unescaped and unresolved, and its text."""

    href: str
    text: str = ""


@dataclass(slots=True)
class PageText:
    """The content of a page, as far as index pages need it."""

    links: list[Link] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    #: Text outside links and headings, with character references not decoded.
    other: list[str] = field(default_factory=list)
    #: The ``href`` of the ``base`` element.
    base: str = ""
    has_pre: bool = False
    has_script: bool = False


def read_page(page: str) -> PageText:
    """The links, headings and text of a page."""
    found = PageText()
    link: Link | None = None
    heading = ""
    position = 0
    while (token := _TOKEN.search(page, position)) is not None:
        _add_text(found, link, heading, page[position : token.start()])
        position = token.end()
        name = (token["name"] or "").lower()
        if token["end"]:
            if name == "a":
                link = None
            elif name == heading:
                heading = ""
            continue
        if name in _HEADINGS:
            found.headings.append("")
            heading = name
        elif name == "a" and (href := _href(token["attributes"])):
            link = Link(href)
            found.links.append(link)
        elif name == "base" and not found.base:
            found.base = _href(token["attributes"])
        elif name == "pre":
            found.has_pre = True
        elif name == "script":
            found.has_script = True
        if name in _RAW_END:
            end = _RAW_END[name].search(page, position)
            stop = len(page) if end is None else end.start()
            if name == "title":
                # The title of an SVG icon within a link is not the link's text.
                _add_text(found, None, heading, page[position:stop])
                heading = ""
            position = stop
    _add_text(found, link, heading, page[position:])
    found.headings = [_unescaped(text) for text in found.headings]
    for one in found.links:
        one.text = _unescaped(one.text)
    return found


def _add_text(found: PageText, link: Link | None, heading: str, text: str) -> None:
    if link is not None and len(link.text) < _LONGEST_TEXT:
        link.text += text[:_LONGEST_TEXT]
    if heading and len(found.headings[-1]) < _LONGEST_TEXT:
        found.headings[-1] += text[:_LONGEST_TEXT]
    if link is None and not heading and text and not text.isspace():
        found.other.append(text)


def _href(attributes: str) -> str:
    for name, *values in _ATTRIBUTE.findall(attributes[:_LONGEST_HREF]):
        if name.lower() == "href":
            return _unescaped("".join(values)).strip()
    return ""


def _unescaped(text: str) -> str:
    try:
        return unescape(text) if "&" in text else text
    except ValueError:
        # A character reference with thousands of digits.
        return text
