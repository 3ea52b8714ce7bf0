"""The requests of S3, and their results: what a transport sends and returns.

Each class of requests is named after the operation in the S3 API Reference, and is generic in the
type of its result. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

from botocore import xform_name

from ..._http.messages import (
    CONTROL_BYTES,
    MaxBytes,
    Reserve,
    Response,
    ResponseBody,
    max_control_bytes,
    reserve_nothing,
)
from .xml import ListPage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = [
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateMultipartUpload",
    "DeleteObject",
    "DeleteObjects",
    "GetObject",
    "HeadBucket",
    "HeadObject",
    "ListMultipartUploads",
    "ListObjectsV2",
    "ListParts",
    "MultipartUpload",
    "ObjectHead",
    "Part",
    "PartsPage",
    "PutObject",
    "Request",
    "StoredPart",
    "UnfinishedUpload",
    "UploadPart",
    "UploadPartCopy",
    "UploadsPage",
]

T = TypeVar("T")


class ObjectHead(NamedTuple):
    """The response to a `HeadObject`; `length` is ``None`` where the service omits it."""

    length: int | None
    #: Names in lower case.
    headers: Mapping[str, str]


class MultipartUpload(NamedTuple):
    """A multipart upload, and the algorithm of its parts' checksums, if it was created with one."""

    id: str
    algorithm: str | None = None


class Part(NamedTuple):
    """An uploaded part; the checksum is that of the upload's algorithm."""

    number: int
    etag: str
    checksum: str | None


class UnfinishedUpload(NamedTuple):
    """An entry of a list of multipart uploads."""

    key: str
    id: str
    initiated: datetime | None


class UploadsPage(NamedTuple):
    """A page of a list of multipart uploads; `markers` of the next page, ``None`` on the last."""

    uploads: Sequence[UnfinishedUpload]
    markers: tuple[str, str] | None


class StoredPart(NamedTuple):
    """An entry of a list of parts."""

    part: Part
    size: int


class PartsPage(NamedTuple):
    """A page of the parts of an upload; `marker` of the next page, ``None`` on the last."""

    parts: Sequence[StoredPart]
    #: As in `MultipartUpload`.
    algorithm: str | None
    marker: int | None


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A request to a bucket whose result is a ``T``."""

    #: Name of botocore's method for the operation.
    method: ClassVar[str]

    bucket: str

    def __init_subclass__(cls) -> None:
        cls.method = xform_name(cls.__name__)


@dataclass(frozen=True, slots=True)
class GetObject(Request[Response[ResponseBody]]):
    """Read an object or a range of it.

    A response to a request for the whole object is to state its checksum, which is verified unless
    the body is large. The last four fields are as in `fsspec_store._http.messages.Request`.
    """

    key: str
    range: str | None = None
    if_match: str | None = None
    unread_above: int = CONTROL_BYTES
    max_bytes: MaxBytes = max_control_bytes
    into: memoryview | None = None
    reserve: Reserve = reserve_nothing


@dataclass(frozen=True, slots=True)
class HeadObject(Request[ObjectHead]):
    """Read the size and the metadata of an object."""

    key: str
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class PutObject(Request[str]):
    """Write an object, if its condition is met; see `CompleteMultipartUpload`.

    The result is the ETag, which may be empty.
    """

    key: str
    body: memoryview
    if_none_match: str | None = None
    if_match: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class CopyObject(Request[None]):
    """Copy an object of at most 5 GiB, with its metadata, if its ETag is `source_if_match`.

    The source is a bucket and a key.
    """

    key: str
    source: tuple[str, str]
    source_if_match: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteObject(Request[None]):
    """Delete an object."""

    key: str


@dataclass(frozen=True, slots=True)
class DeleteObjects(Request[list[dict[str, str]]]):
    """Delete objects; the result has the ``Error`` element of each key that was not deleted."""

    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class ListObjectsV2(Request[ListPage]):
    """List keys that start with a prefix, after a token or a key, and common prefixes.

    With ``details``, the page has what the service lists besides the sizes.
    """

    prefix: str
    delimiter: str | None = None
    max_keys: int | None = None
    token: str | None = None
    start_after: str | None = None
    details: bool = False


@dataclass(frozen=True, slots=True)
class CreateMultipartUpload(Request[MultipartUpload]):
    """Begin a multipart upload; `content` has botocore's parameters such as ``ContentType``."""

    key: str
    metadata: Mapping[str, str] | None = None
    content: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class UploadPart(Request[Part]):
    """Upload a part of an object."""

    key: str
    upload: MultipartUpload
    number: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class UploadPartCopy(Request[Part]):
    """Upload a range of another object as a part; see `CopyObject`."""

    key: str
    upload: MultipartUpload
    number: int
    source: tuple[str, str]
    source_range: str
    source_if_match: str | None = None


@dataclass(frozen=True, slots=True)
class CompleteMultipartUpload(Request[str]):
    """Write an object from uploaded parts, if its condition is met. The result is the ETag.

    The conditions are ``*`` for an object that does not exist, or the ETag of the one to replace.
    """

    key: str
    upload: MultipartUpload
    parts: Sequence[Part]
    if_none_match: str | None = None
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class AbortMultipartUpload(Request[None]):
    """Remove the parts of a multipart upload."""

    key: str
    upload: MultipartUpload


@dataclass(frozen=True, slots=True)
class ListMultipartUploads(Request[UploadsPage]):
    """List unfinished multipart uploads."""

    prefix: str
    markers: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ListParts(Request[PartsPage]):
    """List the parts of an unfinished upload, after the one with the number `marker`."""

    key: str
    upload: MultipartUpload
    marker: int | None = None


@dataclass(frozen=True, slots=True)
class HeadBucket(Request[None]):
    """Check that a bucket exists."""
