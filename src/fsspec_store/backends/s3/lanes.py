"""S3's calls, in the fast lane where they are plain and by s3fs where they are not.

A call has botocore's name and parameters; ``Body`` may be a view, ``Into`` is memory that the body
of a part goes to, and ``Longest`` bounds a body that comes without a length. An answer has these of
botocore's members, and some in another form:

``get_object``
    ``Body``: the bytes, or of more than `LARGE_BYTES` a `Stream`; ``ContentLength``,
    ``ContentRange``, ``ETag``, ``ResponseMetadata``; ``Check``: beside a stream of a whole object
    whose checksum the service stated, what raises for other bytes.
``list_objects_v2``
    ``Objects``: pairs of key and size; ``Prefixes``: with their ``/``; ``Next``: the token of the
    next page, or ``None``.

Knows neither policy nor limit: a call is one attempt.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions

from ..byte_ranges import stated_size
from ..large_reads import LARGE_BYTES
from ..sessions import close_now, without_own_repeats
from ..wire.connection import BodyTooLongError, longest_control
from .answers import DAMAGED, check_end, error_code
from .bounded import bounded
from .checksums import ChecksumError, stated_checksum
from .fast import FastLane
from .refusals import OddAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["Lanes", "http_sessions"]

#: Calls whose answers have no body.
_WITHOUT_DOCUMENT = frozenset({"delete_object", "put_object", "upload_part"})
#: What an answer with a document says, where botocore takes any for one, or none at all.
_SAID = {"complete_multipart_upload": "ETag", "create_multipart_upload": "UploadId"}
#: Parameters that botocore does not know.
_OURS = frozenset({"Into", "Longest"})
#: Calls whose answers are a head and little more.
_WITHOUT_PAGE = _WITHOUT_DOCUMENT | {"get_object", "head_bucket", "head_object"}
#: More than a page of 1,000 keys has, in bytes.
_PAGE_BYTES = 2**20
_COMPLETION_SECONDS = 900.0
#: What is read of s3fs's streams in one go.
_READ_BYTES = 2**20


class Lanes:
    """One s3fs filesystem on one event loop, and the ways to S3 by it.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own.
    policy : RetryPolicy
        Its timeouts.
    fast : bool
        Whether there is a fast lane.

    Attributes
    ----------
    is_over : bool
        Whether they were closed: what a call under way opens since, it closes.
    """

    def __init__(self, fs: Any, policy: RetryPolicy, *, fast: bool) -> None:
        self.fs = fs
        self.fast = FastLane(fs, policy) if fast else None
        self.is_over = False
        self._policy = policy

    async def call(self, method: str, params: dict[str, Any], stats: Stats) -> dict[str, Any]:
        """Send a call once.

        Raises
        ------
        ChecksumError
            When a body was changed on its way, there or back.
        OSError
            As s3fs raises it.
        """
        try:
            return await self._call(method, params, stats)
        except OSError as error:
            if error_code(error) in DAMAGED:
                # From here, and not by the service's answer, since that is no reason to give up.
                raise ChecksumError(f"{error_code(error)}: {error}") from None
            if isinstance(error, FileNotFoundError | PermissionError) and not error_code(error):
                # Of a file or a program that gives credentials, and no word of S3's about a key.
                raise botocore.exceptions.CredentialRetrievalError(
                    provider="a file or program", error_msg=str(error)
                ) from error
            raise

    async def _call(self, method: str, params: dict[str, Any], stats: Stats) -> dict[str, Any]:
        if self.fast is None:
            return await self._call_s3fs(method, params)
        bucket = params["Bucket"]
        way = await self.fast.way(bucket, method)
        if way is None:
            return await self._call_s3fs(method, params)
        stats.fast += 1
        try:
            return await self.fast.call(way, method, params)
        except OddAnswerError as odd:
            # Two requests, in one attempt.
            stats.requests += 1
            try:
                answer = await self._call_s3fs(method, params)
            except FileNotFoundError:
                self.fast.doubt(bucket, method, way, odd)
                raise
            self.fast.doubt(bucket, method, way, odd)
            return answer

    async def _call_s3fs(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        for session in http_sessions(self.fs):
            # They are made one by one, so this is asked for before each request.
            bounded(without_own_repeats(session))
        given = {name: value for name, value in params.items() if name not in _OURS}
        if "Metadata" in given:
            # What every object of this filesystem gets, s3fs would leave out.
            of_all = getattr(self.fs, "s3_additional_kwargs", {}).get("Metadata", {})
            given["Metadata"] = {**of_all, **given["Metadata"]}
        sent = 0
        if "Body" in given:
            given["Body"] = _as_bytes(given["Body"])
            sent = len(given["Body"])
        try:
            async with asyncio.timeout(self._longest(method, sent)):
                # Older releases of s3fs leave it to each caller to say who pays.
                response: dict[str, Any] = await self.fs._call_s3(method, self.fs.req_kw, **given)
        finally:
            if self.is_over:
                for session in http_sessions(self.fs):
                    close_now(session)
        if method == "get_object":
            return await _with_body(response, params, self._policy)
        if method == "list_objects_v2":
            return _page(response)
        if method in _WITHOUT_DOCUMENT:
            _check_bodiless(response)
        if method == "head_object" and "ContentLength" not in response:
            raise OSError("what answered did not say how long the object is")
        if (said := _SAID.get(method)) is not None and said not in response:
            # Whether it was done is as open as after a lost answer.
            raise ConnectionError("what answered was not S3")
        return response

    def _longest(self, method: str, sent: int) -> float:
        """Seconds that a call may take, a value's body not included.

        aiohttp's timeouts bound pauses, and begin when the request's body is sent. s3fs may have to
        fetch credentials first, or to ask in another region.
        """
        if method == "complete_multipart_upload":
            # S3 sends a head, and then white space as long as it puts the parts together (S3 API
            # Reference, "CompleteMultipartUpload").
            return max(_COMPLETION_SECONDS, self._policy.timeout)
        received = 0 if method in _WITHOUT_PAGE else _PAGE_BYTES
        return self._policy.timeout + self._policy.transfer_timeout(sent, received)


class _S3fsStream:
    """A body that s3fs reads."""

    def __init__(self, body: Any, policy: RetryPolicy) -> None:
        self._body = body
        self._policy = policy

    async def read_into(self, sink: memoryview) -> None:
        filled = 0
        began = time.monotonic()
        while filled < sink.nbytes:
            data = await self._next(min(_READ_BYTES, sink.nbytes - filled), began, filled)
            if not data:
                raise aiohttp.ClientPayloadError("the body broke off")
            sink[filled : filled + len(data)] = data
            filled += len(data)

    async def read_up_to(self, longest: int) -> bytes:
        """All of it; `BodyTooLongError` when it has more than so many bytes."""
        pieces: list[bytes] = []
        size = 0
        began = time.monotonic()
        while data := await self._next(_READ_BYTES, began, size):
            pieces.append(data)
            size += len(data)
            if size > longest:
                raise BodyTooLongError(longest)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self, most: int, began: float, came: int) -> bytes:
        # aiohttp bounds the time between two pieces, and not their size.
        due = began + self._policy.transfer_timeout(0, came) + self._policy.timeout
        try:
            async with asyncio.timeout(due - time.monotonic()) as limit:
                piece: bytes = await self._body.read(most)
                return piece
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(
                f"the response was too slow: {came} bytes of a body in "
                f"{time.monotonic() - began:.3g} s"
            ) from error

    def close(self) -> None:
        self._body.close()


async def _with_body(
    response: dict[str, Any], params: dict[str, Any], policy: RetryPolicy
) -> dict[str, Any]:
    body = response["Body"]
    is_left_open = False
    try:
        found = await _read(response, params, _S3fsStream(body, policy))
        is_left_open = isinstance(found["Body"], _S3fsStream)
        return found
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        if not is_left_open:
            body.close()


async def _read(
    response: dict[str, Any], params: dict[str, Any], stream: _S3fsStream
) -> dict[str, Any]:
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    if status not in (200, 206):
        raise OSError(f"what answered with the status {status} was not S3")
    check_end(metadata["HTTPHeaders"])
    found = {
        "ContentRange": response.get("ContentRange"),
        "ContentLength": response.get("ContentLength"),
        "ETag": response.get("ETag", ""),
        "ResponseMetadata": metadata,
        "Check": None,
    }
    length = found["ContentLength"]
    if length is not None and length > LARGE_BYTES:
        if "Range" not in params:
            checksum = stated_checksum(metadata["HTTPHeaders"])
            found["Check"] = None if checksum is None else checksum.check_whole
        return {**found, "Body": stream}
    longest = params.get("Longest", longest_control)(status) if length is None else length
    data: bytes | memoryview = await stream.read_up_to(longest)
    if length is None:
        found["ContentLength"] = len(data)
    into = params.get("Into")
    if into is not None and len(data) == into.nbytes:
        into[:] = data
        data = into
    return {**found, "Body": data}


def _check_bodiless(response: dict[str, Any]) -> None:
    """Raise for a page of somebody else's, which botocore would not look at."""
    length = response["ResponseMetadata"]["HTTPHeaders"].get("content-length", "0")
    if length != "0" and "ETag" not in response:
        raise ConnectionError("what answered was not S3")


def _page(response: dict[str, Any]) -> dict[str, Any]:
    if "IsTruncated" not in response:
        raise OSError("what answered is no list of objects")
    try:
        return {
            "Objects": [
                (item["Key"], stated_size(item["Size"], repr(item["Key"])))
                for item in response.get("Contents", ())
            ],
            "Prefixes": [item["Prefix"] for item in response.get("CommonPrefixes", ())],
            # The token and not the last key: not every service lists in byte order.
            "Next": response["NextContinuationToken"] if response["IsTruncated"] else None,
        }
    except KeyError as missing:
        raise OSError(f"a list of objects came without {missing}") from missing


def _as_bytes(data: bytes | memoryview) -> bytes:
    """The view as ``bytes``, which is all botocore takes for a body that can be sent again."""
    whole = data.obj if isinstance(data, memoryview) else data
    if isinstance(whole, bytes) and len(whole) == len(data):
        return whole
    return bytes(data)


def http_sessions(fs: Any) -> Iterator[Any]:
    """The aiohttp sessions of an s3fs filesystem so far."""
    creator = getattr(fs, "_s3creator", None)
    clients = [getattr(fs, "_s3", None), *getattr(creator, "_regions", {}).values()]
    for client in clients:
        http = getattr(getattr(client, "_endpoint", None), "http_session", None)
        yield from (getattr(http, "_sessions", None) or {}).values()
