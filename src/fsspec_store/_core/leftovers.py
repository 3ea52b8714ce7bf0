"""What a process that was killed in the middle of a write can leave beside the keys.

Values only, no I/O: each backend says what can be left on its service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias

__all__ = ["ABANDONED_AFTER", "TEMPORARY", "UPLOAD", "Leftover", "Leftovers", "is_older"]

#: Seconds after which a writer has finished or was killed.
ABANDONED_AFTER = 3600.0

#: `Leftover.kind`: a file or object of a temporary name.
TEMPORARY = "temporary"
#: `Leftover.kind`: parts of a value, without the request that makes an object of them.
UPLOAD = "upload"


class Leftover(NamedTuple):
    """Something that takes up room and is no key.

    Attributes
    ----------
    key : str
        Where it is, relative to the store's root: of an upload, the key it was for.
    kind : str
        ``"temporary"``, a file or object of a temporary name, or ``"upload"``, the parts of an
        unfinished upload.
    modified : datetime or None
        When it was begun or written last, in UTC; ``None`` where the service does not say so.
    upload_id : str or None
        The service's name for an upload.
    """

    key: str
    kind: str
    modified: datetime | None
    upload_id: str | None = None


#: For annotations in classes whose method ``list`` hides the type.
Leftovers: TypeAlias = list[Leftover]


def is_older(leftover: Leftover, seconds: float) -> bool:
    """Whether it is at least so old; of an unknown age, only for 0 seconds or less."""
    if seconds <= 0:
        return True
    if leftover.modified is None:
        return False
    return (datetime.now(UTC) - leftover.modified).total_seconds() >= seconds
