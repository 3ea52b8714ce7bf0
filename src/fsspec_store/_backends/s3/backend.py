"""S3 and the services that speak its protocol, with the configuration of the user's s3fs.

The backend does not use s3fs's methods for reading and listing: they send a HEAD before a whole
read and a LIST after a 404, have a directory cache, and read ``?versionId=`` in a key as a version.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from botocore.handlers import VALID_BUCKET

from ..._core.byte_requests import ByteRequest, SuffixByteRequest
from ..._core.failures import Failure, RangeNotSatisfiableError
from ..._core.versions import is_etag
from ..._http.content_range import content_length
from ..._http.settings import PartLimits, Settings
from ..base import Backend
from ..cleanup import Cleanup
from ..listed_details import etag, http_date
from ..object_store.streamed_reads import open_stream
from ..object_store.streamed_writes import PartWriter
from ..object_store.versioned_reads import size_from_range
from ..object_store.writing import Condition
from ..pages import Continuation, Details, Page, check_stated_prefix
from ..temporary_names import RESERVED_NAME, is_temporary
from ..traits import Traits
from .buckets import S3Buckets
from .bulk_delete import S3BulkDelete
from .client import Client
from .conditions import Conditions, conditions_of
from .continued_uploads import ContinuedUpload
from .copies import S3Copies
from .features import LIST_V2
from .leftovers import abort, temporary_object, unfinished_uploads
from .reading import Reader
from .requests import GetObject, HeadObject, ListObjectsV2, PutObject
from .responses import (
    OUT_OF_RANGE,
    error_code,
    error_details,
    error_status,
    failure_of,
    is_empty_etag,
    redact_signatures,
)
from .session import customer_keys
from .unexpected_responses import announces_html
from .uploads import S3Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ..._core.leftovers import Leftover
    from ..._core.streams import OpenValue, ValueWriter
    from ..._http.messages import Response

__all__ = ["S3Backend"]

#: Largest key, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects").
_MAX_KEY_BYTES = 1024
#: Default and maximum size of a page (S3 API Reference, "ListObjectsV2").
_PAGE_KEYS = 1000
#: S3 User Guide, "Amazon S3 multipart upload limits"; S3 API Reference, "PutObject".
_PART_LIMITS = PartLimits(
    "S3", smallest=5 * 2**20, largest=5 * 2**30, most=10_000, largest_request=5 * 2**30
)
#: Error codes of a HEAD, whose response has no body with the reason.
_NO_REASON = frozenset({"400", "401", "403"})
#: Maximum length of an error's code: ``IllegalVersioningConfigurationException`` has 39 characters.
_MAX_CODE = 128
#: MinIO's error for a prefix that ends in ``.`` or ``..``, although keys may start with it.
_NOT_LISTED = "XMinioInvalidResourceName"


class S3Backend(Backend):
    """Objects of S3 buckets, by paths such as ``bucket/prefix/key``."""

    streams = True
    part_limits = _PART_LIMITS
    traits = Traits(
        "ETag",
        largest_copy=inf,
        longest_key=f"{_MAX_KEY_BYTES:,} bytes",
        versions_are_md5s=True,
    )
    #: SeaweedFS, and Amazon's directory buckets, list in another order than S3's other buckets.
    lists_in_order = None

    def __init__(self, fs: AbstractFileSystem, settings: Settings) -> None:
        super().__init__(fs, settings)
        self._client = Client(fs, settings)
        #: The conditions of the endpoint, known after `_probe_conditions`.
        self._conditions = Conditions()
        self._buckets = S3Buckets(self._client)
        self._reader = Reader(self._client, self._buckets, settings.reads)
        self._bulk_delete = S3BulkDelete(self._client)
        self._cleanup = Cleanup()
        # An upload that was begun with other options would lack these.
        self.keeps_uploads = not getattr(fs, "s3_additional_kwargs", None)
        self._copies = S3Copies(self._client, self._reader, self._cleanup, self._part_bytes)

    @property
    def supports_atomic_create(self) -> bool:  # type: ignore[override]
        return self._conditions.create is not False

    @property
    def address(self) -> str | None:
        return self._client.address

    @property
    def supports_replace(self) -> bool:  # type: ignore[override]
        return self._conditions.replace is not False

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            found = await self._get(self._split(path), request)
        except RangeNotSatisfiableError:
            if isinstance(request, SuffixByteRequest):
                return b""
            raise
        return None if found is None else found.body

    async def open_value(self, path: str, start: int, version: str | None) -> OpenValue | None:
        target = self._split(path)
        return await open_stream(
            self._reader,
            target,
            start,
            version,
            get=partial(self._get, target),
            read_version=partial(self.read_version, path),
            read=partial(self.read, path),
        )

    async def size(self, path: str) -> int | None:
        found = await self._head(path)
        return None if found is None else found[0]

    async def stat(self, path: str) -> tuple[int, Details] | None:
        found = await self._head(path)
        if found is None:
            return None
        size, headers = found
        return size, Details(http_date(headers.get("last-modified")), etag(headers.get("etag")))

    async def _head(self, path: str) -> tuple[int, Mapping[str, str]] | None:
        """Size of an object and the headers that state it; ``None`` if there is no object."""
        bucket, key = self._split(path)
        if bucket not in self._buckets.seen:
            return await self._first_head(bucket, key)
        try:
            head = await self._client.send(HeadObject(bucket, key))
        except FileNotFoundError as error:
            # The body of a GET shows whether the response is from S3.
            return await self._first_head(bucket, key) if announces_html(error) else None
        except OSError as error:
            # The body of a GET states the reason, for example expired credentials.
            if error_code(error) not in _NO_REASON or not self._client.transports.may_look_up():
                raise
            return await self._first_head(bucket, key)
        size = head.length
        if size or (size == 0 and is_empty_etag(head.headers.get("etag", ""))):
            return size, head.headers
        # Some services omit the length, or state 0 for a value that they compressed.
        return await self._first_head(bucket, key)

    async def write(self, path: str, data: memoryview) -> str | None:
        if data.nbytes > self._writes.above:
            return (await self._put(path, data, Condition.NONE))[1]
        # A lost response needs no check: without a condition the retry succeeds.
        bucket, key = self._split(path)
        etag = await self._client.send(PutObject(bucket, key, data))
        self._buckets.seen.add(bucket)
        return etag if is_etag(etag) else None

    def open_writer(self, path: str, size: int | None) -> ValueWriter:
        target = self._split(path)
        upload = S3Upload(self._client, self._reader, target, None, Condition.NONE)
        return self._part_writer(upload, path, size)

    def continue_writer(self, path: str, size: int) -> ValueWriter:
        if not self.keeps_uploads:
            return self.open_writer(path, size)
        count = -(-size // self._streamed_part_bytes(size, 0))
        upload = ContinuedUpload(self._client, self._reader, self._split(path), count)
        return self._part_writer(upload, path, size)

    def _part_writer(self, upload: S3Upload, path: str, size: int | None) -> PartWriter:
        part_bytes = partial(self._streamed_part_bytes, size)
        return PartWriter(upload, partial(self.write, path), part_bytes, self._cleanup, size=size)

    async def create(self, path: str, data: memoryview) -> bool:
        await self._probe_conditions(path)
        if not self.supports_atomic_create:
            raise NotImplementedError(
                "this service ignores If-None-Match, and cannot create atomically"
            )
        return (await self._put(path, data, Condition.CREATE))[0]

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        bucket, key = self._split(path)
        found = await self._reader.read((bucket, key))
        if found is None:
            await self._buckets.require(bucket)
            return None
        etag = found.headers.get("etag", "")
        if not is_etag(etag):
            raise NotImplementedError(f"this service gives an object no ETag, but {etag!r}")
        return found.body, etag

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        await self._probe_conditions(path)
        if not self.supports_replace:
            raise NotImplementedError("this service ignores If-Match, and cannot compare and swap")
        # "*" is any version, and "" no condition.
        if not is_etag(version):
            return False
        return (await self._put(path, data, Condition.REPLACE, version))[0]

    async def copy(self, source_path: str, path: str, version: str | None = None) -> bool:
        source, target = self._split(source_path), self._split(path)
        if version is not None and not await self._copies_versions(path):
            raise NotImplementedError("this service ignores the condition of a copy")
        try:
            await self._copies.copy(source, target, version)
        except FileNotFoundError as error:
            self._reader.check_bucket(error, source[0])
            await self._buckets.require(source[0])
            return False
        except OSError as error:
            if error_status(error) == 501:
                raise NotImplementedError("this service does not copy objects") from error
            raise
        self._buckets.seen |= {source[0], target[0]}
        return True

    async def remove(self, path: str) -> None:
        await self._bulk_delete.delete(*self._split(path))

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        await self._bulk_delete.delete_many(map(self._split, paths), limit=limit)

    def pages(
        self, directory: str, name_prefix: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        bucket, prefix = self._split(directory)
        delimiter = None if recursive else "/"
        request = ListObjectsV2(bucket, prefix + name_prefix, delimiter, page_size)
        return self._pages(request, prefix)

    def detailed_pages(
        self,
        directory: str,
        name_prefix: str,
        *,
        recursive: bool = True,
        start_after: str = "",
        page_size: int | None = None,
    ) -> AsyncGenerator[Page, None]:
        bucket, prefix = self._split(directory)
        after = self._split(start_after)[1] or None
        request = ListObjectsV2(
            bucket,
            prefix + name_prefix,
            None if recursive else "/",
            page_size,
            start_after=after,
            details=True,
        )
        return self._pages(request, prefix)

    async def _pages(self, request: ListObjectsV2, prefix: str) -> AsyncGenerator[Page, None]:
        """The pages of a listing below a directory, with the key ``prefix``."""
        bucket, begin = request.bucket, request.prefix
        continuation = Continuation()
        while True:
            try:
                listed = await self._client.send(request)
            except OSError as error:
                if error_code(error) != _NOT_LISTED or request.prefix == prefix:
                    raise
                request = replace(request, prefix=prefix)
                continue
            if listed.is_version_1:
                service = await self._client.service()
                service.mark_unsupported(LIST_V2, "the response is of version 1")
            check_stated_prefix(listed.prefix, request.prefix)
            objects, prefixes = listed.objects, listed.prefixes
            if request.prefix != begin:
                objects = [entry for entry in objects if entry[0].startswith(begin)]
                prefixes = [below for below in prefixes if below.startswith(begin)]
            page = Page(
                [(f"{bucket}/{key}", size) for key, size in objects if not is_temporary(key)],
                [f"{bucket}/{below.removesuffix('/')}" for below in prefixes],
            )
            if len(page.objects) < len(objects):
                temporary = [f"{bucket}/{key}" for key, _ in objects if is_temporary(key)]
                page = page._replace(temporary=temporary)
            if request.details:
                details = {f"{bucket}/{key}": each for key, each in listed.details.items()}
                page = page._replace(details=details)
            yield page
            if listed.next_token is not None:
                continuation.check(listed.next_token, page)
                # In version 1 both are the marker.
                request = replace(request, token=listed.next_token, start_after=None)
                continue
            last = listed.objects[-1][0] if len(listed.objects) >= _PAGE_KEYS else ""
            if not last.endswith("/"):
                return
            # SeaweedFS ends a listing after a full page whose last object is a directory marker.
            continuation.check(last, page)
            request = replace(request, token=None, start_after=last)

    async def leftovers(self, directory: str) -> AsyncGenerator[Leftover, None]:
        bucket, prefix = self._split(directory)
        async with aclosing(self.checked_pages(directory, "", recursive=True)) as pages:
            async for page in pages:
                for path in page.temporary:
                    found = await temporary_object(self._client, *self._split(path))
                    if found is not None:
                        yield found
        async with aclosing(unfinished_uploads(self._client, bucket, prefix)) as uploads:
            async for upload in uploads:
                yield upload

    async def remove_leftover(self, leftover: Leftover) -> None:
        if leftover.upload_id is None:
            await self.remove(leftover.key)
        else:
            await abort(self._client, *self._split(leftover.key), leftover.upload_id)

    def check_root(self, root: str) -> str | None:
        bucket, _ = self._split(root + "/")
        if bucket.startswith("arn:") or VALID_BUCKET.search(bucket):
            return None
        return "invalid bucket name"

    def check_path(self, path: str) -> str | None:
        if path.endswith(".tmp") and is_temporary(path):
            return RESERVED_NAME
        # Most paths pass here: a character takes four bytes at most.
        if len(path) * 4 <= _MAX_KEY_BYTES:
            return None
        if len(self._split(path)[1].encode()) > _MAX_KEY_BYTES:
            return f"S3 keys have at most {_MAX_KEY_BYTES} bytes, prefix included"
        return None

    def failure(self, error: Exception) -> Failure:
        return failure_of(error)

    def reason(self, error: Exception) -> str:
        code, text = error_code(error), super().reason(error)
        if code is None or len(code) > _MAX_CODE:
            # The duration of the search grows with the square of the length.
            return text
        # A whole word: names of buckets may contain numbers.
        if re.search(rf"\b{re.escape(code)}\b", text):
            return text
        return f"{code}: {text}"

    def secrets(self) -> set[str]:
        return super().secrets() | customer_keys(self.fs) | self._client.secrets()

    def redactor(self) -> Callable[[str], str]:
        clean = super().redactor()
        return lambda text: redact_signatures(clean(text))

    def close(self) -> None:
        self._cleanup.close()
        self._client.close()

    async def aclose(self) -> None:
        await self._cleanup.aclose()
        await self._client.aclose()

    async def _get(
        self, target: tuple[str, str], request: ByteRequest | None
    ) -> Response[bytes | memoryview] | None:
        """The response with the requested bytes; ``None`` when the object is missing."""
        try:
            found = await self._reader.read(target, request)
        except OSError as error:
            if error_code(error) not in OUT_OF_RANGE:
                raise
            size = str(error_details(error).get("ActualObjectSize"))
            raise RangeNotSatisfiableError(content_length({"content-length": size})) from error
        if found is None:
            await self._buckets.require(target[0])
        return found

    async def _first_head(self, bucket: str, key: str) -> tuple[int, Mapping[str, str]] | None:
        """Like `_head`, from the response to a range of one byte.

        Its body states whether the object or the bucket is missing, and its range the size. The
        response to a HEAD has no body, and may lack the size.
        """
        try:
            found = await self._client.send(GetObject(bucket, key, range="bytes=0-0"))
        except FileNotFoundError as error:
            self._reader.check_bucket(error, bucket)
            await self._buckets.require(bucket)
            return None
        except OSError as error:
            if error_code(error) not in OUT_OF_RANGE:
                raise
            # An empty object has no first byte.
            return 0, {}
        self._buckets.seen.add(bucket)
        return size_from_range(found), found.headers

    def _split(self, path: str) -> tuple[str, str]:
        if path.startswith("arn:"):
            # Access points have "/" in their names.
            return self.fs._find_bucket_key(path)  # type: ignore[no-any-return]
        bucket, _, key = path.partition("/")
        return bucket, key

    async def _put(
        self, path: str, data: memoryview, condition: Condition, etag: str | None = None
    ) -> tuple[bool, str | None]:
        """Write an object; return whether the condition was met, and the version if it is known."""
        target = self._split(path)
        upload = S3Upload(self._client, self._reader, target, data, condition, etag)
        is_written = await upload.run(self._cleanup, part_bytes=self._part_bytes(data.nbytes))
        self._buckets.seen.add(target[0])
        return is_written, upload.written_version

    async def _probe_conditions(self, path: str) -> None:
        bucket, key = self._split(path)
        if self._conditions.create is None:
            endpoint = await self._find_conditions(bucket)
            directory = key[: key.rfind("/") + 1]
            await self._conditions.probe(self._client, self._cleanup, endpoint, bucket, directory)

    async def _copies_versions(self, path: str) -> bool:
        """Whether the service honours the condition of a copy to a path."""
        bucket, key = self._split(path)
        if self._conditions.copy is None:
            endpoint = await self._find_conditions(bucket)
            directory = key[: key.rfind("/") + 1]
            await self._conditions.probe_copies(
                self._client, self._cleanup, endpoint, bucket, directory
            )
        return bool(self._conditions.copy)

    async def _find_conditions(self, bucket: str) -> str:
        """Set the conditions of the bucket's endpoint, and return the endpoint."""
        fs = self._client.transports.fs
        await fs.set_session()
        endpoint: str = (await fs.get_s3(bucket)).meta.endpoint_url
        self._conditions = conditions_of(endpoint)
        return endpoint
