"""A large body that is read from one response alone, and what was asked for of it.

Knows byte ranges and streams, and no service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.failures import RangeNotSatisfiableError
from .._core.ranges import is_out_of_range, resolve
from .content_range import check_part, refuse_waste
from .large_reads import read_all, read_slice

if TYPE_CHECKING:
    from .._core.byte_requests import ByteRequest
    from .large_reads import Stream

__all__ = ["is_what_was_asked", "read_alone"]


def is_what_was_asked(
    body: Stream, size: int, request: ByteRequest | None, status: int, content_range: str | None
) -> bool:
    """Whether a body that is not read yet is all that was asked for; ``False`` if it is more.

    Parameters
    ----------
    body : Stream
        Closed when this raises.
    size : int
        Of the body, in bytes.
    request : ByteRequest or None
        What was asked for.
    status : int
        Of the response.
    content_range : str or None
        Of the response.

    Raises
    ------
    RangeNotSatisfiableError, aiohttp.ClientPayloadError
        As `fsspec_store._http.content_range.requested_part`.
    OSError
        When the server sends the whole object for a range, and more than 64 MiB of it precede
        the range.
    """
    try:
        if check_part(size, request, status=status, content_range=content_range):
            return True
        if is_out_of_range(request, size):
            raise RangeNotSatisfiableError(size)
        start, end = resolve(request, size)
        refuse_waste(start)
        return end - start == size
    except BaseException:
        body.close()
        raise


async def read_alone(
    body: Stream, size: int, request: ByteRequest | None, status: int, content_range: str | None
) -> tuple[memoryview, bool]:
    """What was asked for, and whether it is the whole body; parameters as `is_what_was_asked`.

    The body is closed in any case.
    """
    if is_what_was_asked(body, size, request, status, content_range):
        return await read_all(body, size), True
    return await read_slice(body, *resolve(request, size)), False
