"""Further types of the store contract, for authors of stores and readers.

Most are used in annotations.
"""

from ._core.byte_requests import ByteRequest
from ._core.leftovers import Leftover
from ._http.stats import Stats
from ._store.entries import Entry
from ._store.store_path import ByteGetter, ByteSetter, set_or_delete
from ._store.store_reading import Values, Versioned
from ._store.streams import Reader, Writer

__all__ = [
    "ByteGetter",
    "ByteRequest",
    "ByteSetter",
    "Entry",
    "Leftover",
    "Reader",
    "Stats",
    "Values",
    "Versioned",
    "Writer",
    "set_or_delete",
]
