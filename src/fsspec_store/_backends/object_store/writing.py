"""Writes values: conditions, lost responses, and uploads in parts.

The response to a write may be lost after the service has written. The retry then fails where a
condition holds only once, or where an upload can be completed only once. Only in these
cases the value is read back. A service supplies the requests, and the meaning of its errors.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import TYPE_CHECKING, Generic, TypeVar

from ..._http.retrier import Budget
from ..._runtime.concurrency import for_each

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["WRITER", "Condition", "Upload", "WriteFailure", "failure_of_status", "upload_parts"]

T = TypeVar("T")
ClientT = TypeVar("ClientT")
ReaderT = TypeVar("ReaderT")
TargetT = TypeVar("TargetT")

#: Metadata key with the identity of the writer of a replacement.
WRITER = "fsspec-store-writer"
_CONCURRENT_PARTS = 4


class Condition(Enum):
    """The condition of a write."""

    NONE = auto()
    #: The key is missing.
    CREATE = auto()
    #: The value has a certain version.
    REPLACE = auto()


class WriteFailure(Enum):
    """What is known about a write after an error."""

    #: The condition does not hold.
    CONDITION_NOT_MET = auto()
    #: The upload does not exist, or no longer.
    UPLOAD_GONE = auto()
    #: The service rejected the request before it wrote.
    NOT_WRITTEN = auto()
    #: The service may have written.
    UNKNOWN = auto()


def failure_of_status(status: int | None) -> WriteFailure:
    """Classify the error of a write by its status, where the service has no error code.

    A client error is found before the service writes (RFC 9110, section 15.5), except that a
    server or a proxy may send 408 for a request that is being handled. All other errors, and
    responses that were not received (``None``), leave it unknown.
    """
    if status is None or status == 408 or not 400 <= status < 500:
        return WriteFailure.UNKNOWN
    if status == 412:
        return WriteFailure.CONDITION_NOT_MET
    return WriteFailure.NOT_WRITTEN


class Upload(ABC, Generic[ClientT, ReaderT, TargetT]):
    """One write of one value. A service supplies the requests."""

    def __init__(
        self,
        client: ClientT,
        reader: ReaderT,
        target: TargetT,
        data: memoryview,
        condition: Condition,
        version: str | None = None,
    ) -> None:
        self._client = client
        self._reader = reader
        self._target = target
        self._data = data
        self._condition = condition
        self._version = version
        self._may_be_written = False
        #: Failures that all requests of this write may have together.
        self.budget = Budget()
        #: Identity of this write, to be stored with a replacement: another writer may replace the
        #: value by equal bytes. A creation succeeds for all writers of equal bytes.
        self.writer = secrets.token_hex(8) if condition is Condition.REPLACE else None

    @abstractmethod
    def _failure(self, error: Exception) -> WriteFailure:
        """Classify the exception of an attempt."""

    @abstractmethod
    async def _read_back(self) -> bytes | memoryview | None:
        """Read the stored value; ``None`` if there is none."""

    @abstractmethod
    async def _read_writer(self) -> str | None:
        """Read the metadata `WRITER` of the stored value."""

    async def _attempt(self, sending: Awaitable[T]) -> T:
        """Await one attempt of the request that writes the value."""
        try:
            return await sending
        except Exception as error:
            if self._failure(error) is WriteFailure.UNKNOWN:
                self._may_be_written = True
            raise

    async def _result(self, attempts: Awaitable[T]) -> T | bool:
        """Await all attempts, and return the response of the one that succeeded.

        ``True`` if an earlier attempt of this write has stored the value, ``False`` if the
        condition is not met.
        """
        try:
            return await attempts
        except Exception as error:
            failure = self._failure(error)
            is_repeated = failure in (WriteFailure.CONDITION_NOT_MET, WriteFailure.UPLOAD_GONE)
            if self._may_be_written and is_repeated and await self._is_stored():
                return True
            is_conditional = self._condition is not Condition.NONE
            if failure is WriteFailure.CONDITION_NOT_MET and is_conditional:
                return False
            raise

    async def _is_stored(self) -> bool:
        if self.writer is None:
            return await self._read_back() == self._data
        return await self._read_writer() == self.writer


async def upload_parts(
    put: Callable[[int, memoryview], Awaitable[T]], data: memoryview, part_bytes: int
) -> list[T]:
    """Await ``put(index, part)``, index from 0, four at once; return the results in their order."""
    results: dict[int, T] = {}

    async def upload(start: int) -> None:
        results[start] = await put(start // part_bytes, data[start : start + part_bytes])

    await for_each(upload, range(0, data.nbytes, part_bytes), limit=_CONCURRENT_PARTS)
    return [results[start] for start in sorted(results)]
