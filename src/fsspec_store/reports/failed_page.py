"""The page of an operation that ended with an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .page import code, page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["failed_page"]


def failed_page(
    message: str,
    *,
    title: str,
    urls: Mapping[str, str],
    command: str = "",
    date: datetime | None = None,
) -> str:
    """An error as one page of HTML.

    Parameters
    ----------
    message : str
        Why there is no result, without secrets.
    title : str
        What was to be done.
    urls : mapping of str to str
        The places by their names, without secrets.
    command : str, optional
        The command that repeats it, without secrets.
    date : datetime, optional
        When it ended; by default now.

    Returns
    -------
    str
        The document.
    """
    return page(
        title,
        ok=False,
        verdict=f"Failed: {message}",
        about=[(name, code(url)) for name, url in urls.items()],
        command=command,
        date=date,
        body="",
    )
