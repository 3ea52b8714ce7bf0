"""A page of HTML without any request: escaping, lists of facts, and the frame of all reports."""

from __future__ import annotations

import base64
import hashlib
import html
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from .._core.text import printable
from .._version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MAX_LISTED", "bulleted", "code", "date_text", "escaped", "facts", "more", "page"]

#: Number of findings, failures or arrays that a page lists.
MAX_LISTED = 500
#: Longest text of one item. A key has 1,024 bytes at most on most services.
_MAX_TEXT = 2000


def escaped(text: object) -> str:
    """A text for HTML. Characters that control or reorder the text are shown as escapes."""
    shown = printable(str(text))
    if len(shown) > _MAX_TEXT:
        shown = shown[:_MAX_TEXT] + "…"
    return html.escape(shown)


def code(text: object) -> str:
    """A key, path or URL."""
    return f"<code>{escaped(text)}</code>"


def facts(pairs: Iterable[tuple[str, str]], kind: str = "facts") -> str:
    """A list of names and values; the values are HTML."""
    rows = (f"<div><dt>{escaped(name)}</dt><dd>{value}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{"".join(rows)}</dl>'


def bulleted(items: Iterable[str]) -> str:
    """A list; the items are HTML."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def more(count: int, what: str) -> str:
    """A paragraph for items that are not listed, if there are any."""
    return f'<p class="more">and {count:,} more {escaped(what)}</p>' if count > 0 else ""


def date_text(date: datetime | None) -> str:
    """A time in UTC; by default the current one."""
    return f"{(date or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def page(
    title: str,
    *,
    ok: bool,
    verdict: str,
    about: Sequence[tuple[str, str]],
    command: str,
    date: datetime | None,
    body: str,
    script: str = "",
) -> str:
    """One complete document.

    Its policy allows the style and the script of the page, and no request.

    Parameters
    ----------
    title : str
        The heading.
    ok : bool
        Whether the verdict is good.
    verdict : str
        One sentence.
    about : sequence of (str, str)
        Names and values, as HTML, of what the report is about.
    command : str
        The command that makes the report again; ``""`` leaves it out.
    date : datetime or None
        When the report was made.
    body : str
        The sections, as HTML.
    script : str, optional
        Name of a script of this package.
    """
    style = _file("page.css")
    code_of_script = _file(script) if script else ""
    policy = f"default-src 'none'; base-uri 'none'; img-src data:; style-src {_hash(style)}"
    if script:
        policy += f"; script-src {_hash(code_of_script)}"
    rows = [*about, ("Date", date_text(date)), ("Version", f"fsspec-store {__version__}")]
    repeat = f"<h2>Repeat</h2><pre><code>{escaped(command)}</code></pre>" if command else ""
    sign, kind = ("✔", "good") if ok else ("✘", "bad")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escaped(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{escaped(title)}</h1>
<p class="verdict {kind}"><span aria-hidden="true">{sign}</span> {escaped(verdict)}</p>
{facts(rows)}
{body}
{repeat}
</main>
{f"<script>{code_of_script}</script>" if script else ""}
</body>
</html>
"""


@cache
def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
