"""Creation of missing keys: atomic where the backend can, with a possible race where it is allowed.

Knows backends, and no stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._backends.base import Backend

__all__ = ["create"]


async def create(backend: Backend, path: str, data: memoryview, *, allow_race: bool) -> bool:
    """Write an object only if there is none.

    Parameters
    ----------
    backend : Backend
        Reads and writes.
    path : str
        Full path of the object.
    data : memoryview
        Its bytes.
    allow_race : bool
        Check first and then write where the backend cannot create atomically. A writer in between
        is overwritten.

    Returns
    -------
    bool
        Whether this call wrote the object.

    Raises
    ------
    NotImplementedError
        When the backend cannot create atomically, and no race is allowed.
    """
    if backend.supports_atomic_create:
        try:
            return await backend.create(path, data)
        except NotImplementedError:
            if not allow_race:
                raise
    elif not allow_race:
        raise NotImplementedError(
            "this backend cannot create atomically; with allow_racy_create=True the store checks "
            "first and then writes, which may overwrite the value of a concurrent writer"
        )
    if await backend.size(path) is not None:
        return False
    await backend.write(path, data)
    return True
