"""Paths of a filesystem as it takes them and as it lists them, which may be in another form.

Some filesystems take whole URLs for paths (swiftspec), and list them with or without the scheme;
others list URLs and take paths. Text alone, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["parent_of", "path_below"]


def parent_of(path: str) -> str:
    """The folder above; empty at the top of a filesystem, which is where a URL's host is."""
    parent = path.rpartition("/")[0]
    return "" if parent.endswith(":/") else parent


def path_below(fs: AbstractFileSystem, folder: str, name: str) -> str:
    """A listed name in the form in which the filesystem takes the folder it was listed in."""
    if _is_in(folder, name):
        return name
    scheme, mark, _ = folder.partition("://")
    forms = [str(fs._strip_protocol(name))]
    if mark:
        forms.append(f"{scheme}://{name.lstrip('/')}")
    return next((form for form in forms if _is_in(folder, form)), name)


def _is_in(folder: str, path: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")
