"""What killed writers left in a bucket: objects of temporary names, and unfinished uploads.

Knows S3's calls, and not how one is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ...leftovers import TEMPORARY, UPLOAD, Leftover
from ..base import Page
from ..page_checks import Continuation
from .answers import error_code

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .calls import Calls

__all__ = ["abort", "temporary_object", "unfinished_uploads"]

#: What services without a list of uploads answer.
_NO_LIST = frozenset({"NotImplemented", "MethodNotAllowed", "405", "501"})


async def temporary_object(calls: Calls, bucket: str, key: str) -> Leftover | None:
    """An object of a temporary name; ``None`` if it is gone."""
    try:
        found = await calls.call("head_object", Bucket=bucket, Key=key)
    except FileNotFoundError:
        return None
    date = found["ResponseMetadata"]["HTTPHeaders"].get("last-modified", "")
    try:
        modified = _in_utc(parsedate_to_datetime(date))
    except (ValueError, OverflowError):
        modified = None
    return Leftover(f"{bucket}/{key}", TEMPORARY, modified)


async def unfinished_uploads(
    calls: Calls, bucket: str, prefix: str
) -> AsyncGenerator[Leftover, None]:
    """Uploads of keys that begin with a prefix (S3 API Reference, "ListMultipartUploads")."""
    params: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    continuation = Continuation()
    while True:
        try:
            found = await calls.call("list_multipart_uploads", **params)
        except OSError as error:
            if error_code(error) in _NO_LIST:
                return
            raise
        for upload in found.get("Uploads", ()):
            key, upload_id = upload.get("Key"), upload.get("UploadId")
            if not isinstance(key, str) or not isinstance(upload_id, str):
                raise OSError(
                    f"a list of uploads has one of the key {key!r:.80}, id {upload_id!r:.80}"
                )
            if key.startswith(prefix):
                yield Leftover(
                    f"{bucket}/{key}", UPLOAD, _in_utc(upload.get("Initiated")), upload_id
                )
        if not found.get("IsTruncated"):
            return
        marks = {
            "KeyMarker": found.get("NextKeyMarker", ""),
            "UploadIdMarker": found.get("NextUploadIdMarker", ""),
        }
        continuation.check("\0".join(marks.values()), Page([]))
        params.update(marks)


def _in_utc(date: datetime | None) -> datetime | None:
    """A date that a service stated, which is in UTC where it names no time zone."""
    if date is None or date.tzinfo is None:
        return date and date.replace(tzinfo=UTC)
    try:
        return date.astimezone(UTC)
    except OverflowError:
        return None


async def abort(calls: Calls, bucket: str, key: str, upload_id: str) -> None:
    """Abort an upload, if it is still there."""
    try:
        await calls.call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)
    except OSError as error:
        if error_code(error) not in ("NoSuchUpload", "404"):
            raise
