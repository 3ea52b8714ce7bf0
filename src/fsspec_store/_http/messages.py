"""Requests and responses, and the interface of the transports between them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .payloads import Body

__all__ = [
    "CONTROL_BYTES",
    "CONTROL_RESPONSE",
    "MAX_ERROR_BYTES",
    "BodyStream",
    "BodyTooLongError",
    "Expected",
    "LargeBody",
    "MaxBytes",
    "Request",
    "Reserve",
    "Response",
    "ResponseBody",
    "max_control_bytes",
    "reserve_nothing",
]

T_co = TypeVar("T_co", covariant=True)

#: The type of `Expected.on_chunk`, whose documentation has its parameters.
_OnChunk: TypeAlias = "Callable[[int, Mapping[str, str]], Callable[[memoryview], object] | None]"
#: Returns the maximum size of a body of unknown length, for a status.
MaxBytes: TypeAlias = "Callable[[int], int]"
#: Called with the size of a body before memory is allocated for it. It may raise.
Reserve: TypeAlias = "Callable[[int], object]"

#: Maximum size of a body that is not a value: a page of a listing, a batch response.
CONTROL_BYTES = 64 * 2**20
#: Maximum size of an error body.
MAX_ERROR_BYTES = 2**20


def max_control_bytes(status: int) -> int:
    """The `MaxBytes` of responses that are not values."""
    return CONTROL_BYTES


def reserve_nothing(size: int) -> None:
    """The `Reserve` of responses that are not values, and of parts of reserved values."""


class BodyStream(Protocol):
    """The body of a response, which is read in pieces."""

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body."""

    def close(self) -> None:
        """Close the body, whether it is read to its end or not."""


class Expected(NamedTuple):
    """What a request of the native transport expects of the body of its response.

    Attributes
    ----------
    no_body : bool
        Whether the response has no body whatever its head states (HEAD).
    on_chunk : callable or None
        Called with status and headers. If it returns a function, that is called with each piece of
        the body that is received with the response. It must be fast and not raise.
    unread_above, max_bytes, into, reserve
        As in `Request`.
    """

    no_body: bool = False
    unread_above: int = CONTROL_BYTES
    max_bytes: MaxBytes = max_control_bytes
    into: memoryview | None = None
    on_chunk: _OnChunk | None = None
    reserve: Reserve = reserve_nothing


#: A response that is not a value.
CONTROL_RESPONSE = Expected()


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes
    ----------
    url : str
        The quoted URL, which is sent unchanged.
    headers : mapping
        Request headers, without ``Host``.
    decode : bool
        Whether to decode the content codings of the response.
    unread_above : int
        Maximum size in bytes of a body with status 200 or 206 that the transport reads. A longer
        one is returned as a `LargeBody`, unless it arrives together with its head. Bodies with
        another status are always read: more than 64 MiB of a success or 1 MiB of an error raise.
    max_bytes : callable
        Returns, for the status of a success, the maximum size of a body of unknown length.
    into : memoryview or None
        Memory for the body of a 206 of exactly this size. Other bodies are read into new memory.
    reserve : callable
        Called before a body of known size is read into new memory. It may raise.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expect: Collection[int]
    body: Body | None = None
    decode: bool = False
    unread_above: int = CONTROL_BYTES
    max_bytes: MaxBytes = max_control_bytes
    into: memoryview | None = None
    reserve: Reserve = reserve_nothing


@dataclass(frozen=True, slots=True)
class Response(Generic[T_co]):
    """A response: status, headers, and the body, read or parsed.

    Header names are in lower case, or (with aiohttp) the mapping ignores case.
    """

    status: int
    headers: Mapping[str, str]
    body: T_co


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A body that is not read yet, and its size in bytes. The receiver closes the stream."""

    stream: BodyStream
    size: int


ResponseBody: TypeAlias = bytes | memoryview | LargeBody


class BodyTooLongError(OSError):
    """A body of unknown length exceeds its maximum size in bytes, the argument."""

    def __str__(self) -> str:
        return f"a body of unknown length has more than {self.args[0]} bytes"
