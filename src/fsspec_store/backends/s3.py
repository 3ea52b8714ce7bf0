"""S3 and the services that speak its protocol, through the calls of s3fs.

Requests go through ``S3FileSystem._call_s3`` with bucket and key spelled out: s3fs's own methods
send a HEAD before a whole read and a LIST after a miss, answer from a directory cache, and take
``?versionId=`` in a key for something else. What s3fs does for a session (credentials, endpoints,
regions, retries) is used as it is.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
import botocore.exceptions
from botocore.handlers import VALID_BUCKET

from ..byte_requests import SuffixByteRequest
from ..concurrency import for_each
from ..loops import PerLoop
from .base import (
    Backend,
    BucketMissingError,
    Failure,
    Page,
    RangeNotSatisfiableError,
    builtin_failure,
)
from .s3_answers import error_code, error_details, range_header, requested_part
from .s3_session import S3Filesystems, check_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ..byte_requests import ByteRequest

__all__ = ["S3Backend"]

#: Largest key, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects").
_MAX_KEY_BYTES = 1024
#: Most keys one DeleteObjects request takes (S3 API Reference, "DeleteObjects").
_MAX_DELETES = 1000
#: Most parts of a multipart upload (S3 User Guide, "Multipart upload limits").
_MAX_PARTS = 10_000
#: From here on a value is uploaded in parts, several at a time.
_MULTIPART_THRESHOLD = 64 * 2**20
_PART_BYTES = 16 * 2**20
_PARTS_AT_ONCE = 4
_DELETES_AT_ONCE = 4
#: A conditional write that met another one under way is asked again (409, S3 API Reference,
#: "PutObject": "ConditionalRequestConflict").
_CONFLICT_TRIES = 8

#: What reading a body raises when the connection breaks off, stalls, or sends something else.
_BROKEN_BODY = (
    aiohttp.ClientError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    TimeoutError,
)
#: Seconds before each further attempt.
_BODY_WAITS = (0.1, 0.2, 0.4, 0.8)

_FORBIDDEN = frozenset(
    {
        "401",
        "403",
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "Forbidden",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "Unauthorized",
    }
)
_CREDENTIAL_ERRORS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
    botocore.exceptions.ProfileNotFound,
)
_INVALID_PATH = frozenset({"KeyTooLongError", "XMinioInvalidObjectName", "InvalidURI"})
_CONFLICT = frozenset({"XMinioParentIsObject", "XMinioObjectExistsAsDirectory"})
_OUT_OF_RANGE = frozenset({"InvalidRange", "416"})
_PRECONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
_CONDITION_CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})

#: What XML 1.0 cannot carry, or would normalise away, in the body of a bulk delete.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class S3Backend(Backend):
    """Objects of S3 buckets, by paths such as ``bucket/prefix/key``."""

    def __init__(self, fs: AbstractFileSystem) -> None:
        super().__init__(fs)
        check_options(fs)
        self._filesystems: PerLoop[Any] = PerLoop(
            S3Filesystems(fs, max_connections=self.default_concurrency)
        )
        self._buckets_seen: set[str] = set()

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        bucket, key = self._split(path)
        header = range_header(request)
        params = {"Bucket": bucket, "Key": key} | ({} if header is None else {"Range": header})
        try:
            return await self._read_body(params, request)
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise
            return None
        except OSError as error:
            if error_code(error) not in _OUT_OF_RANGE:
                raise
            if isinstance(request, SuffixByteRequest):
                return b""
            size = error_details(error).get("ActualObjectSize")
            raise RangeNotSatisfiableError(None if size is None else int(size)) from error

    async def size(self, path: str) -> int | None:
        bucket, key = self._split(path)
        try:
            response = await self._call("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            # A HEAD has no body to say which of the two is missing.
            await self._require_bucket(bucket)
            return None
        self._buckets_seen.add(bucket)
        return int(response["ContentLength"])

    async def write(self, path: str, data: memoryview) -> None:
        await self._put(path, data, {})

    async def create(self, path: str, data: memoryview) -> bool:
        for attempt in range(_CONFLICT_TRIES):
            try:
                await self._put(path, data, {"IfNoneMatch": "*"})
            except OSError as error:
                code = error_code(error)
                if code in _PRECONDITION_FAILED:
                    return False
                if code not in _CONDITION_CONFLICT or attempt == _CONFLICT_TRIES - 1:
                    raise
                await asyncio.sleep(0.05 * 2**attempt)
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    async def remove(self, path: str) -> None:
        bucket, key = self._split(path)
        try:
            await self._call("delete_object", Bucket=bucket, Key=key)
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise

    async def remove_many(self, paths: Sequence[str], *, limit: int) -> None:
        bulk: dict[str, list[str]] = {}
        single = []
        for path in paths:
            bucket, key = self._split(path)
            if _NOT_IN_XML.search(key):
                single.append(path)
            else:
                bulk.setdefault(bucket, []).append(key)
        chunks = [
            (bucket, keys[start : start + _MAX_DELETES])
            for bucket, keys in bulk.items()
            for start in range(0, len(keys), _MAX_DELETES)
        ]
        await for_each(self._delete_chunk, chunks, limit=min(limit, _DELETES_AT_ONCE))
        await for_each(self.remove, single, limit=limit)

    async def pages(
        self, directory: str, stem: str, *, recursive: bool, page_size: int | None = None
    ) -> AsyncGenerator[Page, None]:
        bucket, prefix = self._split(directory)
        params: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix + stem}
        if not recursive:
            params["Delimiter"] = "/"
        if page_size is not None:
            params["MaxKeys"] = page_size
        while True:
            response = await self._call("list_objects_v2", **params)
            yield Page(
                [
                    (f"{bucket}/{item['Key']}", item["Size"])
                    for item in response.get("Contents", ())
                ],
                [
                    f"{bucket}/{item['Prefix'].removesuffix('/')}"
                    for item in response.get("CommonPrefixes", ())
                ],
            )
            if not response.get("IsTruncated"):
                return
            # The token and not the last key: not every service lists in byte order.
            params["ContinuationToken"] = response["NextContinuationToken"]

    def check_root(self, root: str) -> str | None:
        bucket, _ = self._split(root + "/")
        if bucket.startswith("arn:") or VALID_BUCKET.search(bucket):
            return None
        return "this is no bucket name"

    def check_path(self, path: str) -> str | None:
        key = self._split(path)[1]
        # A quick look first: a character takes four bytes at most.
        if len(key) * 4 > _MAX_KEY_BYTES and len(key.encode()) > _MAX_KEY_BYTES:
            return f"S3 keys have at most {_MAX_KEY_BYTES} bytes, prefix included"
        return None

    def failure(self, error: Exception) -> Failure:
        code = error_code(error)
        if code == "NoSuchBucket" or isinstance(error, BucketMissingError):
            return Failure.NO_BUCKET
        if code in _FORBIDDEN or isinstance(error, _CREDENTIAL_ERRORS):
            return Failure.FORBIDDEN
        if code in _INVALID_PATH:
            return Failure.INVALID_PATH
        if code in _CONFLICT:
            return Failure.CONFLICT
        return builtin_failure(error) if code is None else Failure.BACKEND

    def close(self) -> None:
        self._filesystems.close()

    async def aclose(self) -> None:
        await self._filesystems.aclose()

    async def _read_body(
        self, params: Mapping[str, str], request: ByteRequest | None
    ) -> bytes | memoryview:
        for wait in (*_BODY_WAITS, None):
            # s3fs repeats what fails up to the headers; a body that breaks off is ours to repeat.
            response = await self._call("get_object", **params)
            stream = response["Body"]
            try:
                return requested_part(response, await stream.read(), request)
            except _BROKEN_BODY:
                if wait is None:
                    raise
                await asyncio.sleep(wait)
            finally:
                stream.close()
        raise AssertionError("the last attempt returns or raises")

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._filesystems.get()._call_s3(method, **params)  # type: ignore[no-any-return]

    def _split(self, path: str) -> tuple[str, str]:
        if path.startswith("arn:"):
            # Access points have "/" in their names.
            return self.fs._find_bucket_key(path)  # type: ignore[no-any-return]
        bucket, _, key = path.partition("/")
        return bucket, key

    async def _require_bucket(self, bucket: str) -> None:
        """Raise when the bucket is missing; asked once, until the bucket was seen."""
        if bucket in self._buckets_seen:
            return
        try:
            await self._call("head_bucket", Bucket=bucket)
        except FileNotFoundError as error:
            raise BucketMissingError(bucket) from error
        except PermissionError:
            # Whoever may read objects need not be allowed to ask for the bucket.
            pass
        self._buckets_seen.add(bucket)

    async def _put(self, path: str, data: memoryview, condition: Mapping[str, str]) -> None:
        bucket, key = self._split(path)
        target = {"Bucket": bucket, "Key": key}
        if data.nbytes < _MULTIPART_THRESHOLD:
            await self._call("put_object", **target, Body=as_bytes(data), **condition)
        else:
            await self._put_parts(target, data, condition)
        self._buckets_seen.add(bucket)

    async def _put_parts(
        self, target: Mapping[str, str], data: memoryview, condition: Mapping[str, str]
    ) -> None:
        upload = await self._call("create_multipart_upload", **target)
        target = {**target, "UploadId": upload["UploadId"]}
        part_bytes = max(_PART_BYTES, -(-data.nbytes // _MAX_PARTS))
        etags: dict[int, str] = {}

        async def put_part(start: int) -> None:
            number = start // part_bytes + 1
            body = as_bytes(data[start : start + part_bytes])
            part = await self._call("upload_part", **target, PartNumber=number, Body=body)
            etags[number] = part["ETag"]

        try:
            await for_each(put_part, range(0, data.nbytes, part_bytes), limit=_PARTS_AT_ONCE)
            parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
            await self._call(
                "complete_multipart_upload",
                **target,
                MultipartUpload={"Parts": parts},
                **condition,
            )
        except BaseException:
            # Parts without an end stay in the bucket, unseen and paid for.
            await asyncio.shield(self._abort(target))
            raise

    async def _abort(self, target: Mapping[str, str]) -> None:
        try:
            await self._call("abort_multipart_upload", **target)
        except OSError:
            # The error that led here is the one to report.
            pass

    async def _delete_chunk(self, chunk: tuple[str, Sequence[str]]) -> None:
        bucket, keys = chunk
        objects = [{"Key": key} for key in keys]
        response = await self._call(
            "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
        )
        # The answer is 200 even when single keys were refused.
        for failed in response.get("Errors", ()):
            if failed.get("Code") != "NoSuchKey":
                _raise_delete_error(failed)


def as_bytes(data: memoryview) -> bytes:
    """The view as ``bytes``, which is all botocore takes for a body that can be sent again."""
    whole = data.obj
    if isinstance(whole, bytes) and len(whole) == data.nbytes:
        return whole
    return bytes(data)


def _raise_delete_error(failed: Mapping[str, Any]) -> NoReturn:
    code, message = failed.get("Code"), failed.get("Message", "")
    text = f"{failed.get('Key')!r}: {code}: {message}"
    raise (PermissionError if code in _FORBIDDEN else OSError)(text)
