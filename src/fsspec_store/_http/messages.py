"""Requests and responses, and the interface of the transports between them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from .http1.connection import CONTROL_BYTES, max_control_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .http1.connection import MaxBytes

__all__ = [
    "BodyStream",
    "LargeBody",
    "Request",
    "RequestBody",
    "Response",
    "ResponseBody",
    "Transport",
]

T_co = TypeVar("T_co", covariant=True)


class RequestBody(Protocol):
    """The body of a request, which can be sent several times. Also a payload for aiohttp."""

    @property
    def size(self) -> int | None:
        """Size of the body in bytes, ``None`` if unknown."""

    @property
    def is_contiguous(self) -> bool:
        """Whether the body is in one piece of memory, or small enough to be copied to one."""

    def in_one_piece(self) -> memoryview:
        """The whole body."""


class BodyStream(Protocol):
    """The body of a response, which is read in pieces."""

    async def read_into(self, sink: memoryview) -> None:
        """Fill ``sink`` with the next bytes of the body."""

    def close(self) -> None:
        """Close the body, whether it is read to its end or not."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes
    ----------
    method : str
        The request method.
    url : str
        The quoted URL, which is sent unchanged.
    headers : mapping
        Request headers, without ``Host``.
    expect : collection of int
        Expected statuses.
    body : RequestBody, optional
        The body.
    decode : bool, optional
        Whether to decode the content codings of the response.
    unread_above : int, optional
        Maximum size in bytes of a body with status 200 or 206 that the transport reads. A longer
        one is returned as a `LargeBody`.
    max_bytes : callable, optional
        Returns, for the status of a success, the maximum size of a body of unknown length.
    into : memoryview, optional
        Memory for the body of a 206 of exactly this size. Other bodies are read into new memory.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    expect: Collection[int]
    body: RequestBody | None = None
    decode: bool = False
    unread_above: int = CONTROL_BYTES
    max_bytes: MaxBytes = max_control_bytes
    into: memoryview | None = None


@dataclass(frozen=True, slots=True)
class Response(Generic[T_co]):
    """A response: status, headers (names in any case), and the body, read or parsed."""

    status: int
    headers: Mapping[str, str]
    body: T_co


@dataclass(frozen=True, slots=True)
class LargeBody:
    """A body that is not read yet, and its size in bytes. The receiver closes the stream."""

    stream: BodyStream
    size: int


ResponseBody: TypeAlias = bytes | memoryview | LargeBody


class Transport(Protocol):
    """Sends requests and receives their responses, without retries."""

    async def send(self, request: Request) -> Response[ResponseBody]:
        """Send a request, and read the body of the response unless that is large.

        Raises
        ------
        aiohttp.ClientError, TimeoutError, OSError
            When the connection or the transfer failed.
        """

    def close(self) -> None:
        """Close all connections. Later requests open new ones."""

    async def aclose(self) -> None:
        """Close all connections, and wait until those of the running loop are closed."""
