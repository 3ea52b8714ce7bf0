"""Temporary files, objects and uploads that a killed writer leaves behind.

No I/O. Each backend finds the leftovers of its service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

__all__ = [
    "ABANDONED_AFTER",
    "BLOCKS",
    "TEMPORARY",
    "UPLOAD",
    "Leftover",
    "Leftovers",
    "is_older",
]

#: Age in seconds above which a leftover no longer belongs to a running writer.
ABANDONED_AFTER = 3600.0

#: `Leftover.kind`: a file or object with a temporary name.
TEMPORARY = "temporary"
#: `Leftover.kind`: the parts of an upload that was not completed.
UPLOAD = "upload"
#: `Leftover.kind`: blocks that were not committed, which only the service can remove.
BLOCKS = "blocks"


class Leftover(NamedTuple):
    """Stored data of an unfinished write. It is not a key.

    Attributes
    ----------
    key : str
        Path relative to the store's root; the key of an upload.
    kind : str
        ``"temporary"``, a file or object with a temporary name; ``"upload"``, the parts of an
        unfinished upload; ``"blocks"``, the blocks of a key on Azure that does not exist yet, which
        only the service removes, after a week.
    modified : datetime or None
        Time of the start or last write, in UTC; ``None`` when the service does not state it.
    upload_id : str or None
        The service's identifier of an upload.
    size : int or None
        Bytes; ``None`` where the listing does not state them.
    """

    key: str
    kind: str
    modified: datetime | None
    upload_id: str | None = None
    size: int | None = None


#: For annotations in classes whose method ``list`` hides the type.
Leftovers: TypeAlias = list[Leftover]


def is_older(leftover: Leftover, seconds: float) -> bool:
    """Whether a leftover is at least that old. An unknown age counts as 0 seconds."""
    if seconds <= 0:
        return True
    if leftover.modified is None:
        return False
    return (datetime.now(UTC) - leftover.modified).total_seconds() >= seconds
