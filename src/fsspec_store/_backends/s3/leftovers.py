"""Lists and removes leftovers of killed writers: temporary objects and unfinished uploads."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ..._core.leftovers import TEMPORARY, UPLOAD, Leftover
from ..pages import Continuation, Page
from .responses import error_code

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .calls import Calls

__all__ = ["abort", "temporary_object", "unfinished_uploads"]

#: Error codes of services that cannot list uploads.
_UNSUPPORTED = frozenset({"NotImplemented", "MethodNotAllowed", "405", "501"})


async def temporary_object(calls: Calls, bucket: str, key: str) -> Leftover | None:
    """The leftover for an object with a temporary name; ``None`` if it no longer exists."""
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
    """Unfinished uploads below a prefix (S3 API Reference, "ListMultipartUploads")."""
    params: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    continuation = Continuation()
    while True:
        try:
            found = await calls.call("list_multipart_uploads", **params)
        except OSError as error:
            if error_code(error) in _UNSUPPORTED:
                return
            raise
        for upload in found.get("Uploads", ()):
            key, upload_id = upload.get("Key"), upload.get("UploadId")
            if not isinstance(key, str) or not isinstance(upload_id, str):
                raise OSError(
                    f"the list of uploads has an invalid entry: key {key!r:.80}, "
                    f"UploadId {upload_id!r:.80}"
                )
            if key.startswith(prefix):
                yield Leftover(
                    f"{bucket}/{key}", UPLOAD, _in_utc(upload.get("Initiated")), upload_id
                )
        if not found.get("IsTruncated"):
            return
        markers = {
            "KeyMarker": found.get("NextKeyMarker", ""),
            "UploadIdMarker": found.get("NextUploadIdMarker", ""),
        }
        continuation.check("\0".join(markers.values()), Page([]))
        params.update(markers)


def _in_utc(date: datetime | None) -> datetime | None:
    """A date in UTC, which is also the time zone of dates that state none."""
    if date is None or date.tzinfo is None:
        return date and date.replace(tzinfo=UTC)
    try:
        return date.astimezone(UTC)
    except OverflowError:
        return None


async def abort(calls: Calls, bucket: str, key: str, upload_id: str) -> None:
    """Abort an upload, if it exists."""
    try:
        await calls.call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload_id)
    except OSError as error:
        if error_code(error) not in ("NoSuchUpload", "404"):
            raise
