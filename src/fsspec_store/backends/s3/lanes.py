"""S3's calls, in the fast lane where they are plain and by s3fs where they are not.

A call has botocore's name and parameters; ``Body`` may be a view, and ``Into`` is memory that the
body of a part goes to. An answer has these of botocore's members, and some in another form:

``get_object``
    ``Body``: the bytes, or of more than `LARGE_BYTES` a `Stream`; ``ContentLength``,
    ``ContentRange``, ``ETag``, ``ResponseMetadata``; ``Check``: beside a stream of a whole object
    whose checksum the service stated, what raises for other bytes.
``list_objects_v2``
    ``Objects``: pairs of key and size; ``Prefixes``: with their ``/``; ``Next``: the token of the
    next page, or ``None``; ``Answered``: the prefix that the answer says it is of, or ``""``.

Knows neither policy nor limit: a call is one attempt.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import botocore.exceptions

from ...redaction import hidden
from ..large_reads import LARGE_BYTES
from ..sessions import close_now, without_own_repeats
from .answers import DAMAGED, check_end, error_code, without_signatures
from .checksums import ChecksumError, stated_checksum
from .fast import FastLane
from .refusals import OddAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...retries import RetryPolicy
    from ...sending import Stats

__all__ = ["Lanes", "http_sessions", "secrets_of"]

#: Calls whose answers have no body.
_WITHOUT_DOCUMENT = frozenset({"delete_object", "put_object", "upload_part"})
#: What an answer with a document says, where botocore takes any for one, or none at all.
_SAID = {"complete_multipart_upload": "ETag", "create_multipart_upload": "UploadId"}
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
            # It is logged.
            odd.args = (without_signatures(hidden(str(odd), secrets_of(self.fs))),)
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
            without_own_repeats(session)
        given = {name: value for name, value in params.items() if name != "Into"}
        if "Metadata" in given:
            # What every object of this filesystem gets, s3fs would leave out.
            of_all = getattr(self.fs, "s3_additional_kwargs", {}).get("Metadata", {})
            given["Metadata"] = {**of_all, **given["Metadata"]}
        longest = None
        if "Body" in given:
            given["Body"] = _as_bytes(given["Body"])
            # The timeouts of a request begin when its body is sent.
            longest = self._policy.upload_timeout(len(given["Body"]))
        try:
            async with asyncio.timeout(longest):
                # Older releases of s3fs leave it to each caller to say who pays.
                response: dict[str, Any] = await self.fs._call_s3(method, self.fs.req_kw, **given)
        finally:
            if self.is_over:
                for session in http_sessions(self.fs):
                    close_now(session)
        if method == "get_object":
            return await _with_body(response, params)
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


class _S3fsStream:
    """A large body that s3fs reads."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def read_into(self, sink: memoryview) -> None:
        filled = 0
        while filled < sink.nbytes:
            data = await self._body.read(min(_READ_BYTES, sink.nbytes - filled))
            if not data:
                raise aiohttp.ClientPayloadError("the body broke off")
            sink[filled : filled + len(data)] = data
            filled += len(data)

    def close(self) -> None:
        self._body.close()


async def _with_body(response: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    body, into = response["Body"], params.get("Into")
    metadata = response.get("ResponseMetadata", {})
    try:
        if metadata.get("HTTPStatusCode") not in (200, 206):
            status = metadata.get("HTTPStatusCode")
            raise OSError(f"what answered with the status {status} was not S3")
        check_end(metadata["HTTPHeaders"])
    except OSError:
        body.close()
        raise
    response = {
        "ContentRange": response.get("ContentRange"),
        "ContentLength": response.get("ContentLength"),
        "ETag": response.get("ETag", ""),
        "ResponseMetadata": metadata,
        "Check": None,
    }
    if (response["ContentLength"] or 0) > LARGE_BYTES:
        if "Range" not in params:
            checksum = stated_checksum(metadata["HTTPHeaders"])
            response["Check"] = None if checksum is None else checksum.check_whole
        return {**response, "Body": _S3fsStream(body)}
    try:
        data = await body.read()
    except botocore.exceptions.FlexibleChecksumError as error:
        raise ChecksumError(str(error)) from error
    finally:
        body.close()
    if response["ContentLength"] is None:
        response["ContentLength"] = len(data)
    if into is not None and len(data) == into.nbytes:
        into[:] = data
        data = into
    return {**response, "Body": data}


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
            "Objects": [(item["Key"], item["Size"]) for item in response.get("Contents", ())],
            "Prefixes": [item["Prefix"] for item in response.get("CommonPrefixes", ())],
            # The token and not the last key: not every service lists in byte order.
            "Next": response["NextContinuationToken"] if response["IsTruncated"] else None,
            "Answered": response.get("Prefix", ""),
        }
    except KeyError as missing:
        raise OSError(f"a list of objects came without {missing}") from missing


def _as_bytes(data: bytes | memoryview) -> bytes:
    """The view as ``bytes``, which is all botocore takes for a body that can be sent again."""
    whole = data.obj if isinstance(data, memoryview) else data
    if isinstance(whole, bytes) and len(whole) == len(data):
        return whole
    return bytes(data)


def secrets_of(fs: Any) -> set[str]:
    """The secret key and the session token of an s3fs filesystem's requests so far."""
    signer = getattr(getattr(fs, "_s3", None), "_request_signer", None)
    credentials = getattr(signer, "_credentials", None)
    # Credentials that are renewed keep the current ones below names of their own.
    names = ("secret_key", "token", "_secret_key", "_token")
    held = {} if credentials is None else vars(credentials)
    return {text for name in names if isinstance(text := held.get(name), str)}


def http_sessions(fs: Any) -> Iterator[Any]:
    """The aiohttp sessions of an s3fs filesystem so far."""
    creator = getattr(fs, "_s3creator", None)
    clients = [getattr(fs, "_s3", None), *getattr(creator, "_regions", {}).values()]
    for client in clients:
        http = getattr(getattr(client, "_endpoint", None), "http_session", None)
        yield from (getattr(http, "_sessions", None) or {}).values()
