"""A filesystem in memory whose keys named "kept" cannot be deleted."""

from __future__ import annotations

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Stubborn(MemoryFileSystem):
    protocol = "stubborn"
    store: dict = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("stubborn://", "memory://"))

    def rm_file(self, path: str) -> None:
        if path.endswith("kept"):
            raise PermissionError(f"no deletes of {path}")
        super()._rm(path)


def fill() -> Stubborn:
    """Make the filesystem known, with three keys."""
    fsspec.register_implementation("stubborn", Stubborn, clobber=True)
    files = Stubborn()
    for name in ("a", "b", "kept"):
        files.pipe_file(f"/data/{name}", b"x")
    return files
