"""Conversion of listed paths to the form that a filesystem takes. Does no I/O.

Some filesystems take URLs as paths (swiftspec) and list them with or without the scheme; others
take paths and list URLs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["parent_of", "path_below"]


def parent_of(path: str) -> str:
    """The parent folder; empty at the top of a filesystem, and for the host of a URL."""
    parent = path.rpartition("/")[0]
    return "" if parent.endswith(":/") else parent


def path_below(fs: AbstractFileSystem, folder: str, name: str) -> str:
    """A listed name in the same form as the path of the listed folder."""
    if _is_in(folder, name):
        return name
    scheme, mark, _ = folder.partition("://")
    forms = [str(fs._strip_protocol(name))]
    if mark:
        forms.append(f"{scheme}://{name.lstrip('/')}")
    return next((form for form in forms if _is_in(folder, form)), name)


def _is_in(folder: str, path: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")
