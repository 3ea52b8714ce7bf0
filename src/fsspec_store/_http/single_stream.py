"""The requested range of a large body that is read from a single response.

Does not know any service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.failures import RangeNotSatisfiableError
from .._core.ranges import is_out_of_range, resolve
from .content_range import check_discarded, check_part
from .large_reads import read_all, read_slice

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest
    from .messages import BodyStream

__all__ = ["read_requested_range"]


async def read_requested_range(
    body: BodyStream,
    size: int,
    request: ByteRequest | None,
    status: int,
    content_range: str | None,
    *,
    is_pinned: bool,
) -> tuple[memoryview | None, bool]:
    """Read the requested range of a body, unless it can be read in parts.

    Parameters
    ----------
    body : BodyStream
        Closed, unless it is left unread.
    size : int
        Size of the body in bytes.
    request : ByteRequest or None
        The requested range, ``None`` for the whole object.
    status : int
        Of the response.
    content_range : str or None
        Of the response.
    is_pinned : bool
        Whether the response identifies a version whose parts can be requested. A body that is
        exactly the requested range is then left unread.

    Returns
    -------
    part : memoryview or None
        The bytes, ``None`` if the body is left unread.
    is_whole : bool
        Whether the range is the whole body.

    Raises
    ------
    RangeNotSatisfiableError, aiohttp.ClientPayloadError
        As `fsspec_store._http.content_range.requested_part`.
    OSError
        When the server ignores the range, and more than 64 MiB precede it.
    """
    if _is_requested_range(body, size, request, status, content_range):
        return None if is_pinned else await read_all(body, size), True
    return await read_slice(body, *resolve(request, size)), False


def _is_requested_range(
    body: BodyStream, size: int, request: ByteRequest | None, status: int, content_range: str | None
) -> bool:
    """Whether a body is exactly the requested range; ``False`` if it contains more.

    Closes the body when it raises.
    """
    try:
        if check_part(size, request, status=status, content_range=content_range):
            return True
        if is_out_of_range(request, size):
            raise RangeNotSatisfiableError(size)
        start, end = resolve(request, size)
        check_discarded(start)
        return end - start == size
    except BaseException:
        body.close()
        raise
