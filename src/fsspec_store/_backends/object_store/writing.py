"""Writes values: conditions, lost responses, and uploads in parts.

The response to a write may be lost after the service has written. The retry then fails where a
condition holds only once, or where an upload can be completed only once. Only in these
cases the value is read back. A service supplies the requests, and the meaning of its errors.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from ..._http.retrier import Budget
from ..._runtime.concurrency import for_each

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = [
    "WRITER",
    "Condition",
    "PartUpload",
    "Upload",
    "WriteFailure",
    "failure_of_status",
    "upload_parts",
]

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


class PartUpload(ABC):
    """An upload of one value in parts. A service supplies the requests."""

    #: Whether each part is sent after the one before it is stored.
    in_sequence: ClassVar[bool] = False
    #: The version of the value, if the response that completed the upload states it.
    written_version: str | None = None

    @abstractmethod
    async def start(self) -> bool:
        """Begin the upload; ``False`` when the condition of the write is not met."""

    async def hash(self, part: memoryview) -> None:  # noqa: B027
        """Compute the checksum of a value of unknown bytes further, by the next part in order."""

    @abstractmethod
    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        """Upload a part, whose first byte has the index ``start`` in the value."""

    @abstractmethod
    async def complete(self) -> bool:
        """Write the value from the parts; ``False`` when the condition is not met."""

    @abstractmethod
    async def abort(self) -> None:
        """Remove the parts of a started upload that is not completed."""


class Upload(PartUpload, Generic[ClientT, ReaderT, TargetT]):
    """One write of one value. A service supplies the requests.

    The value is ``data``, or ``None`` for a value whose parts are not in memory together.
    """

    def __init__(
        self,
        client: ClientT,
        reader: ReaderT,
        target: TargetT,
        data: memoryview | None,
        condition: Condition,
        version: str | None = None,
    ) -> None:
        self._client = client
        self._reader = reader
        self._target = target
        self._value = data
        self._condition = condition
        self._version = version
        self._may_be_written = False
        #: Failures that all requests of this write may have together.
        self.budget = Budget()
        #: Identity of this write, to be stored with a replacement: another writer may replace the
        #: value by equal bytes. A creation succeeds for all writers of equal bytes. A value that is
        #: not in memory cannot be compared.
        is_identified = condition is Condition.REPLACE or data is None
        self.writer = secrets.token_hex(8) if is_identified else None

    @property
    def _data(self) -> memoryview:
        """The value, of a write that has it in memory."""
        assert self._value is not None
        return self._value

    def _part_budget(self) -> Budget:
        """The budget of the request for a part; of a stream each part has its own."""
        return Budget() if self._value is None else self.budget

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


async def upload_parts(upload: PartUpload, data: memoryview, part_bytes: int) -> None:
    """Upload the parts of a value that is in memory, in any order, four at once."""

    async def put(start: int) -> None:
        end = min(start + part_bytes, data.nbytes)
        is_last = end == data.nbytes
        await upload.put(start // part_bytes, start, data[start:end], is_last=is_last)

    await for_each(put, range(0, data.nbytes, part_bytes), limit=_CONCURRENT_PARTS)
