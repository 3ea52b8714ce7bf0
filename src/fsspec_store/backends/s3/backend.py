"""S3 and the services that speak its protocol, as the user's s3fs is configured for them.

Calls have bucket and key spelled out, and go to S3 by `fsspec_store.backends.s3.lanes`, never by
s3fs's own methods of reading and listing: those send a HEAD before a whole read and a LIST after a
miss, answer from a directory cache, and take ``?versionId=`` in a key for something else.
"""

from __future__ import annotations

import asyncio
import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import botocore.exceptions
from botocore.handlers import VALID_BUCKET

from ...byte_requests import RangeByteRequest, SuffixByteRequest
from ...concurrency import for_each
from ...limiter import MAX_IN_FLIGHT
from ...sending import Sender
from ...sharing import Shared, frozen
from ..base import (
    Backend,
    BucketMissingError,
    Failure,
    Page,
    RangeNotSatisfiableError,
    builtin_failure,
    is_etag,
)
from ..byte_ranges import part_start, range_header, total_size
from ..large_reads import read_all, read_large
from ..temporary import REFUSED, is_temporary
from .answers import PRECONDITION_FAILED, error_code, error_details, requested_part, verdict
from .checksums import ChecksumError
from .conditions import Conditions, conditions_of
from .session import S3Filesystems, check_options, endpoint_of
from .uploads import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from ...byte_requests import ByteRequest
    from ...retries import RetryPolicy
    from ...sending import Stats
    from .lanes import Lanes

__all__ = ["S3Backend"]

T = TypeVar("T")

#: Largest key, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects").
_MAX_KEY_BYTES = 1024
#: Most keys one DeleteObjects request takes (S3 API Reference, "DeleteObjects").
_MAX_DELETES = 1000
_DELETES_AT_ONCE = 4
#: Entries of a page, unless fewer are asked for (S3 API Reference, "ListObjectsV2").
_PAGE_KEYS = 1000
#: A large value that others go on replacing is begun anew so often.
_READ_TRIES = 5

_FORBIDDEN = frozenset(
    {
        "403",
        "AccessDenied",
        "AllAccessDisabled",
        "Forbidden",
    }
)
_UNAUTHENTICATED = frozenset(
    {
        "401",
        "AccountProblem",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        # MinIO's name for it.
        "InvalidTokenId",
        "NotSignedUp",
        "RequestExpired",
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
#: What services without bulk deletes answer.
_NO_BULK_DELETE = frozenset({"NotImplemented", "MethodNotAllowed", "405", "501"})

#: Options that make no other sessions.
_OF_FSSPEC = frozenset({"asynchronous", "loop", "skip_instance_cache", "use_listings_cache"})

#: What XML 1.0 cannot carry, or would normalise away, in the body of a bulk delete.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")


class S3Backend(Backend):
    """Objects of S3 buckets, by paths such as ``bucket/prefix/key``.

    Parameters
    ----------
    fs, policy, stats
        See `Backend`.
    fast : bool, optional
        Whether plain requests bypass s3fs.
    """

    has_choice_of_lanes = True

    def __init__(
        self, fs: AbstractFileSystem, policy: RetryPolicy, stats: Stats, *, fast: bool = True
    ) -> None:
        super().__init__(fs, policy, stats)
        check_options(fs)
        options = {
            name: value for name, value in fs.storage_options.items() if name not in _OF_FSSPEC
        }
        user = (type(fs), frozen(fs.storage_args), frozen(options), frozen(_settings()))
        self._lanes: Shared[Lanes] = Shared(
            ("s3", *user, policy, fast),
            lambda: S3Filesystems(fs, policy, fast=fast, max_connections=MAX_IN_FLIGHT),
        )
        service = f"s3 {endpoint_of(fs)}"
        self._sender = Sender(service, policy, verdict, stats)
        #: Those of the endpoint, once it is known which that is.
        self._conditions = Conditions()
        self._buckets_seen: set[str] = set()
        self._deletes_in_bulk = True

    @property
    def supports_atomic_create(self) -> bool:  # type: ignore[override]
        return self._conditions.create is not False

    @property
    def supports_replace(self) -> bool:  # type: ignore[override]
        return self._conditions.replace is not False

    async def read(self, path: str, request: ByteRequest | None) -> bytes | memoryview | None:
        try:
            found = await self._read(path, request)
            return None if found is None else found[0]
        except OSError as error:
            if error_code(error) not in _OUT_OF_RANGE:
                raise
            if isinstance(request, SuffixByteRequest):
                return b""
            size = error_details(error).get("ActualObjectSize")
            raise RangeNotSatisfiableError(None if size is None else int(size)) from error

    async def size(self, path: str) -> int | None:
        bucket, key = self._split(path)
        if bucket not in self._buckets_seen:
            return await self._first_size(path, bucket)
        try:
            response = await self._call("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        return int(response["ContentLength"])

    async def write(self, path: str, data: memoryview) -> None:
        await self._put(path, data)

    async def create(self, path: str, data: memoryview) -> bool:
        await self._find_out_conditions(path)
        if not self.supports_atomic_create:
            raise NotImplementedError(
                "this service ignores If-None-Match, and cannot create atomically"
            )
        return await self._put(path, data, IfNoneMatch="*")

    async def read_version(self, path: str) -> tuple[bytes | memoryview, str] | None:
        found = await self._read(path, None)
        if found is not None and not is_etag(found[1]):
            raise NotImplementedError(f"this service gives an object no ETag, but {found[1]!r}")
        return found

    async def replace(self, path: str, data: memoryview, version: str) -> bool:
        await self._find_out_conditions(path)
        if not self.supports_replace:
            raise NotImplementedError("this service ignores If-Match, and cannot compare and swap")
        # "*" would stand for any version, and "" for no condition at all.
        return is_etag(version) and await self._put(path, data, IfMatch=version)

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
            if not self._deletes_in_bulk or _NOT_IN_XML.search(key):
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
                    (f"{bucket}/{key}", size)
                    for key, size in response["Objects"]
                    if not is_temporary(key)
                ],
                [f"{bucket}/{prefix.removesuffix('/')}" for prefix in response["Prefixes"]],
            )
            if response["Next"] is not None:
                params["ContinuationToken"] = response["Next"]
            elif len(response["Objects"]) >= _PAGE_KEYS and response["Objects"][-1][0].endswith(
                "/"
            ):
                # SeaweedFS takes a directory's marker that fills a page for the end.
                params.pop("ContinuationToken", None)
                params["StartAfter"] = response["Objects"][-1][0]
            else:
                return

    def check_root(self, root: str) -> str | None:
        bucket, _ = self._split(root + "/")
        if bucket.startswith("arn:") or VALID_BUCKET.search(bucket):
            return None
        return "this is no bucket name"

    def check_path(self, path: str) -> str | None:
        key = self._split(path)[1]
        if is_temporary(key):
            return REFUSED
        # A quick look first: a character takes four bytes at most.
        if len(key) * 4 > _MAX_KEY_BYTES and len(key.encode()) > _MAX_KEY_BYTES:
            return f"S3 keys have at most {_MAX_KEY_BYTES} bytes, prefix included"
        return None

    def failure(self, error: Exception) -> Failure:
        code = error_code(error)
        if code == "NoSuchBucket" or isinstance(error, BucketMissingError):
            return Failure.NO_BUCKET
        if code in _UNAUTHENTICATED or isinstance(error, _CREDENTIAL_ERRORS):
            return Failure.UNAUTHENTICATED
        if code in _FORBIDDEN:
            return Failure.FORBIDDEN
        if code in _INVALID_PATH:
            return Failure.INVALID_PATH
        if code in _CONFLICT:
            return Failure.CONFLICT
        return builtin_failure(error) if code is None else Failure.BACKEND

    def reason(self, error: Exception) -> str:
        code, text = error_code(error), super().reason(error)
        return text if code is None or code in text else f"{code}: {text}"

    def close(self) -> None:
        self._lanes.close()

    async def aclose(self) -> None:
        await self._lanes.aclose()

    async def _read(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview, str] | None:
        """The bytes and the ETag."""
        for attempt in range(_READ_TRIES):
            found = await self._send(lambda: self._read_once(path, request))
            if found is None:
                return None
            part, response = found
            if part is None:
                try:
                    part = await self._read_large(path, request, response)
                except ChecksumError:
                    # Which of its requests it was nobody knows.
                    if attempt == _READ_TRIES - 1:
                        raise
                    self.stats.retries += 1
            if part is not None:
                return part, response["ETag"]
        raise OSError(f"the object was replaced {_READ_TRIES} times while it was read")

    async def _read_once(
        self, path: str, request: ByteRequest | None
    ) -> tuple[bytes | memoryview | None, dict[str, Any]] | None:
        """The bytes with the answer they came in, in one attempt; a large body is left in it."""
        header = range_header(request)
        params = {"ChecksumMode": "ENABLED"} if header is None else {"Range": header}
        response = await self._get_once(path, **params)
        if response is None:
            return None
        body = response["Body"]
        if isinstance(body, (bytes, memoryview)):
            return requested_part(response, body, request), response
        return None, response

    async def _get_once(self, path: str, **params: Any) -> dict[str, Any] | None:
        bucket, key = self._split(path)
        try:
            response = await self._call_once("get_object", Bucket=bucket, Key=key, **params)
        except FileNotFoundError as error:
            code = error_code(error)
            if code == "NoSuchBucket":
                raise
            if code == "NoSuchKey":
                self._buckets_seen.add(bucket)
            return None
        self._buckets_seen.add(bucket)
        return response

    async def _read_large(
        self, path: str, request: ByteRequest | None, response: dict[str, Any]
    ) -> bytes | memoryview | None:
        """The rest of an answer, by several requests; ``None`` when the object was replaced."""
        etag = response["ETag"]

        async def fetch(part: RangeByteRequest, sink: memoryview) -> None:
            async def attempt() -> None:
                answer = await self._get_once(
                    path, Range=range_header(part), IfMatch=etag, Into=sink
                )
                if answer is None:
                    raise _ReplacedError
                if not isinstance(answer["Body"], (bytes, memoryview)):
                    answer["Body"].close()
                    raise aiohttp.ClientPayloadError(
                        f"{answer['ContentLength']} bytes came for {part!r}"
                    )
                came = requested_part(answer, answer["Body"], part)
                if came is not sink:
                    sink[:] = came

            await self._send(attempt)

        size = int(response["ContentLength"])
        try:
            if is_etag(etag):
                first = part_start(response["ContentRange"])
                memory = await read_large(response["Body"], size, fetch, first=first)
            else:
                # Parts of who knows how many versions are no object.
                memory = await read_all(response["Body"], size)
        except _ReplacedError:
            return None
        except OSError as error:
            if error_code(error) in PRECONDITION_FAILED:
                return None
            raise
        if response["Check"] is not None:
            await asyncio.to_thread(response["Check"], memory)
        return requested_part(response, memory, request)

    async def _stored(self, path: str) -> bytes | memoryview | None:
        """What is at a path, within another request's attempt."""
        found = await self._read_once(path, None)
        if found is None:
            return None
        part, response = found
        if part is not None:
            return part
        return await read_all(response["Body"], int(response["ContentLength"]))

    async def _first_size(self, path: str, bucket: str) -> int | None:
        """As `size`, by an answer that says which is missing, the object or its bucket.

        A HEAD has no body to say so.
        """
        try:
            found = await self._send(lambda: self._get_once(path, Range="bytes=0-0"))
        except OSError as error:
            if error_code(error) not in _OUT_OF_RANGE:
                raise
            # An empty object has no first byte.
            return 0
        if found is None:
            await self._require_bucket(bucket)
            return None
        if hasattr(found["Body"], "close"):
            found["Body"].close()
        total = total_size(found["ContentRange"])
        return int(found["ContentLength"]) if total is None else total

    async def _send(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def renew() -> None:
            self._lanes.renew(used)

        used = self._lanes.get()
        return await self._sender.send(attempt, renew=renew)

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._send(lambda: self._call_once(method, **params))

    async def _call_once(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._lanes.get().call(method, params, self.stats)

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

    async def _put(self, path: str, data: memoryview, **condition: str) -> bool:
        bucket, key = self._split(path)

        stored = partial(self._stored, path)
        upload = Upload(self._call_once, self._send, stored, bucket, key, data, condition)
        done = await upload.run()
        self._buckets_seen.add(bucket)
        return done

    async def _find_out_conditions(self, path: str) -> None:
        bucket, key = self._split(path)
        if self._conditions.create is None:
            fs = self._lanes.get().fs
            await fs.set_session()
            endpoint = (await fs.get_s3(bucket)).meta.endpoint_url
            directory = key[: key.rfind("/") + 1]
            self._conditions = conditions_of(endpoint)
            await self._conditions.find_out(self._call, endpoint, bucket, directory)

    async def _delete_chunk(self, chunk: tuple[str, Sequence[str]]) -> None:
        bucket, keys = chunk
        objects = [{"Key": key} for key in keys]

        async def attempt() -> None:
            response = await self._call_once(
                "delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
            )
            # The answer is 200 even when single keys were refused.
            for failed in response.get("Errors", ()):
                if failed.get("Code") != "NoSuchKey":
                    raise DeleteRefusedError(failed)

        try:
            await self._send(attempt)
        except OSError as error:
            if isinstance(error, DeleteRefusedError) or error_code(error) not in _NO_BULK_DELETE:
                raise
            self._deletes_in_bulk = False
            paths = [f"{bucket}/{key}" for key in keys]
            await for_each(self.remove, paths, limit=_DELETES_AT_ONCE)


def _settings() -> dict[str, str]:
    """What botocore reads of the environment: profiles, files, keys, endpoints."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


class _ReplacedError(Exception):
    """An object is gone whose beginning was read."""


class DeleteRefusedError(OSError):
    """A bulk delete removed other keys, and not this one.

    Parameters
    ----------
    failed : mapping
        The ``Error`` element that the answer has for the key.
    """

    def __init__(self, failed: Mapping[str, Any]) -> None:
        super().__init__(f"{failed.get('Key')!r}: {failed.get('Code')}: {failed.get('Message')}")
        # As botocore's errors have it: read like the error of a request of its own.
        self.response = {"Error": failed}
