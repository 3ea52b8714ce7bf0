"""Lists and removes leftovers of killed writers: temporary objects and unfinished uploads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from ..._core.leftovers import TEMPORARY, UPLOAD, Leftover
from ..pages import Continuation, Page
from .requests import AbortMultipartUpload, HeadObject, ListMultipartUploads, MultipartUpload
from .responses import error_code

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .client import Client

__all__ = ["abort", "temporary_object", "unfinished_uploads"]

#: Error codes of services that cannot list uploads.
_UNSUPPORTED = frozenset({"NotImplemented", "MethodNotAllowed", "405", "501"})


async def temporary_object(client: Client, bucket: str, key: str) -> Leftover | None:
    """The leftover for an object with a temporary name; ``None`` if it no longer exists."""
    try:
        head = await client.send(HeadObject(bucket, key))
    except FileNotFoundError:
        return None
    date = head.headers.get("last-modified", "")
    try:
        modified = _in_utc(parsedate_to_datetime(date))
    except (ValueError, OverflowError):
        modified = None
    return Leftover(f"{bucket}/{key}", TEMPORARY, modified, size=head.length)


async def unfinished_uploads(
    client: Client, bucket: str, prefix: str
) -> AsyncGenerator[Leftover, None]:
    """Unfinished uploads below a prefix (S3 API Reference, "ListMultipartUploads")."""
    is_empty = True
    async for leftover in _listed_uploads(client, bucket, prefix, prefix):
        is_empty = False
        yield leftover
    if is_empty and prefix:
        # MinIO lists those of a whole key, or all.
        async for leftover in _listed_uploads(client, bucket, "", prefix):
            yield leftover


async def _listed_uploads(
    client: Client, bucket: str, listed: str, prefix: str
) -> AsyncGenerator[Leftover, None]:
    request = ListMultipartUploads(bucket, listed)
    continuation = Continuation()
    while True:
        try:
            page = await client.send(request)
        except OSError as error:
            if error_code(error) in _UNSUPPORTED:
                return
            raise
        for key, upload_id, initiated in page.uploads:
            if key.startswith(prefix):
                yield Leftover(f"{bucket}/{key}", UPLOAD, _in_utc(initiated), upload_id)
        if page.markers is None:
            return
        continuation.check("\0".join(page.markers), Page([]))
        request = replace(request, markers=page.markers)


def _in_utc(date: datetime | None) -> datetime | None:
    """A date in UTC, which is also the time zone of dates that state none."""
    if date is None or date.tzinfo is None:
        return date and date.replace(tzinfo=UTC)
    try:
        return date.astimezone(UTC)
    except OverflowError:
        return None


async def abort(client: Client, bucket: str, key: str, upload_id: str) -> None:
    """Abort an upload, if it exists."""
    try:
        await client.send(AbortMultipartUpload(bucket, key, MultipartUpload(upload_id)))
    except OSError as error:
        if error_code(error) not in ("NoSuchUpload", "404"):
            raise
