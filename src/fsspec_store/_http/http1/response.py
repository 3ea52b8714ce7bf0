"""What a request expects as its response, and the response. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CONTROL_BYTES",
    "MAX_ERROR_BYTES",
    "BodyTooLongError",
    "Expected",
    "MaxBytes",
    "OnChunk",
    "Response",
    "max_control_bytes",
]

#: Called with status and headers. Returns a function that is called with each piece of the body.
OnChunk: TypeAlias = "Callable[[int, Mapping[str, str]], Callable[[memoryview], object] | None]"
#: Returns the maximum size of a body of unknown length, for a status.
MaxBytes: TypeAlias = "Callable[[int], int]"

#: Maximum size of a body that is not a value: a page of a listing, a batch response.
CONTROL_BYTES = 64 * 2**20
#: Maximum size of an error body.
MAX_ERROR_BYTES = 2**20


def max_control_bytes(status: int) -> int:
    """The `MaxBytes` of responses that are not values."""
    return CONTROL_BYTES


class Expected(NamedTuple):
    """What a request expects of the body of its response.

    Attributes
    ----------
    no_body : bool
        Whether the response has no body whatever its head states (HEAD).
    whole_up_to : int
        Maximum size in bytes of a body with status 200 or 206 that is received with the response. A
        longer one is left for `Connection.read_into`. The next request can be sent when it is read
        to its end. Bodies of unknown length, and bodies that arrive together with their head, are
        always received. So are bodies with another status: more than 64 MiB of a success or 1 MiB
        of an error raise.
    into : memoryview or None
        Memory for the body of a 206 of exactly this size. Other bodies are received into new
        memory.
    max_bytes : callable
        Returns, for the status of a success, the maximum size of a body of unknown length.
    on_chunk : callable or None
        Called with status and headers. If it returns a function, that is called with each piece of
        the body that is received with the response. It must be fast and not raise.
    """

    no_body: bool = False
    whole_up_to: int = CONTROL_BYTES
    into: memoryview | None = None
    max_bytes: MaxBytes = max_control_bytes
    on_chunk: OnChunk | None = None


@dataclass(slots=True)
class Response:
    """A response.

    Attributes
    ----------
    status : int
        Status code, three digits.
    headers : mapping of str to str
        Names in lower case.
    body : memoryview or None
        ``None`` for a body that the caller reads with `Connection.read_into`.
    length : int
        Size of the body in bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: memoryview | None
    length: int


class BodyTooLongError(OSError):
    """A body of unknown length exceeds its maximum size.

    Parameters
    ----------
    max_bytes : int
        The maximum in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"a body of unknown length has more than {max_bytes} bytes")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type[BodyTooLongError], tuple[int]]:
        return type(self), (self.max_bytes,)
