"""Uploads a value in one request, or as a resumable upload."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from ..._core.failures import BucketMissingError
from ..._http.messages import Response
from ..._http.parsing import parse_json
from ..._http.payloads import Body
from ..._http.responses import StatusError
from ..._runtime.threads import in_thread
from ..checksums import ALGORITHMS, Hash, crc32c_in_base64, in_base64, md5, md5_in_base64
from ..object_store.writing import WRITER, Upload, WriteFailure, failure_of_status
from .client import Client
from .reading import HASH_IN_THREAD_BYTES, Reader, is_generation
from .responses import verify_stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from ..cleanup import Cleanup

__all__ = ["GCSUpload", "checksum_metadata", "multipart_upload"]

#: The service stores multiples of this size ("Resumable uploads").
_CHUNK_MULTIPLE = 256 * 2**10
_CONTENT_TYPE = "application/octet-stream"
#: Metadata that the response to a write contains.
_STORED_FIELDS = "size,crc32c,md5Hash,generation"
#: The session does not exist any more; the upload starts again.
_SESSION_GONE = frozenset({404, 410})
_MAX_SESSIONS = 3
_CANCEL_STATUSES = (200, 204, 404, 410, 499)
#: Path and query that a request line can hold.
_REQUEST_TARGET = re.compile(r"/[!-~]*")
_RANGE = re.compile(r"bytes=0-(\d{1,18})")


class GCSUpload(Upload[Client, Reader, tuple[str, str]]):
    """One write of one object, given by bucket and name. Version 0: the object must not exist."""

    in_sequence = True

    #: The checksum of a value that is in memory, as metadata.
    _checksums: Mapping[str, str] = {}
    #: The response to the last bytes, or whether the value is written; see `Upload._result`.
    _outcome: Response[bytes] | bool | None = None
    #: Number of bytes of a value that is not in memory.
    _size = 0

    async def run(self, cleanup: Cleanup, *, chunk_bytes: int | None) -> bool:
        """Write the value; ``False`` when the condition is not met.

        Without ``chunk_bytes``, a multiple of 256 KiB, it is uploaded in one request.
        """
        if self._data.nbytes < HASH_IN_THREAD_BYTES:
            self._checksums = checksum_metadata(self._data)
        else:
            self._checksums = await in_thread(checksum_metadata, self._data)
        if chunk_bytes is not None:
            return await self._run_resumable(cleanup, chunk_bytes)
        body, content_type = multipart_upload(self._metadata, self._data)
        headers = {"Content-Type": content_type}
        url = self._url(uploadType="multipart")
        self._outcome = await self._send("POST", url, (200,), headers, body)
        return await self.complete()

    @property
    def _metadata(self) -> dict[str, Any]:
        own = {} if self.writer is None else {"metadata": {WRITER: self.writer}}
        return {"name": self._target[1], "contentType": _CONTENT_TYPE, **self._checksums, **own}

    def _url(self, **params: str) -> str:
        if self._version is not None:
            params["ifGenerationMatch"] = self._version
        params = {"fields": _STORED_FIELDS, **params}
        return self._client.url(self._target[0], api="/upload/storage/v1", **params)

    async def _run_resumable(self, cleanup: Cleanup, chunk_bytes: int) -> bool:
        data = self._data
        for _ in range(_MAX_SESSIONS):
            if not await self.start():
                return False
            try:
                for index, start in enumerate(range(0, data.nbytes, chunk_bytes)):
                    end = min(start + chunk_bytes, data.nbytes)
                    await self.put(index, start, data[start:end], is_last=end == data.nbytes)
                    if self._outcome is not None:
                        break
            except BaseException as error:
                if isinstance(error, StatusError) and error.response.status in _SESSION_GONE:
                    continue
                await cleanup.run(self.abort, error)
                raise
            return await self.complete()
        raise OSError(f"the service lost the session of the resumable upload {_MAX_SESSIONS} times")

    async def start(self) -> bool:
        self._hash = RunningHash()
        try:
            session = await self._start_session(self._metadata)
        except StatusError as error:
            if error.response.status == 404:
                raise BucketMissingError(self._target[0]) from error
            raise
        self._session = session or ""
        return session is not None

    async def _start_session(self, metadata: Mapping[str, Any]) -> str | None:
        """The URL of a new upload session, ``None`` when the condition is not met."""
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Type": _CONTENT_TYPE,
        }
        if self._value is not None:
            headers["X-Upload-Content-Length"] = str(self._value.nbytes)
        response = await self._client.request(
            "POST",
            self._url(uploadType="resumable"),
            expect=(200,) if self._version is None else (200, 412),
            headers=headers,
            data=Body(json.dumps(metadata).encode()),
            budget=self.budget,
        )
        if response.status == 412:
            return None
        return self._session_url(response.headers.get("Location", ""))

    def _session_url(self, location: str) -> str:
        """The URL of a session, on the configured endpoint: other hosts must not get the token."""
        try:
            parts = urlsplit(location)
        except ValueError:
            parts = urlsplit("")
        target = parts.path + (parts.query and f"?{parts.query}")
        if parts.scheme not in ("http", "https") or not _REQUEST_TARGET.fullmatch(target):
            raise OSError("the service started a resumable upload without a valid Location")
        return self._client.service + target

    async def put(self, index: int, start: int, part: memoryview, *, is_last: bool) -> None:
        end = start + part.nbytes
        size = end if is_last else None if self._value is None else self._value.nbytes
        if self._value is None:
            self._size = end
            await in_thread(self._hash.update, part)
        while start < end:
            content_range = f"bytes {start}-{end - 1}/{'*' if size is None else size}"
            headers = {"Content-Range": content_range, "Content-Type": _CONTENT_TYPE}
            body = Body(part[part.nbytes - (end - start) :])
            # In a retry the service skips the bytes it has.
            response = await self._send("PUT", self._session, (200, 201, 308), headers, body)
            if isinstance(response, bool) or (response.status != 308 and is_last):
                self._outcome = response
                return
            if response.status != 308:
                raise aiohttp.ClientPayloadError(
                    f"the service ended an upload after {end} bytes, and more follow"
                )
            match = _RANGE.fullmatch(response.headers.get("Range", ""))
            stored = int(match[1]) + 1 if match else 0
            minimum = min(start + _CHUNK_MULTIPLE, end)
            if not minimum <= stored <= end or stored == size:
                raise aiohttp.ClientPayloadError(
                    f"the service stored {stored} of the {end} bytes that were uploaded"
                )
            start = stored

    async def complete(self) -> bool:
        """Verify what the service stored with the last bytes."""
        if isinstance(self._outcome, Response):
            if self._value is None:
                verify_stored(self._outcome, self._size, self._hash.metadata())
            else:
                verify_stored(self._outcome, self._value.nbytes, self._checksums)
            generation = parse_json(self._outcome.body).get("generation")
            if isinstance(generation, str) and is_generation(generation):
                self.written_version = generation
        return bool(self._outcome)

    async def abort(self) -> None:
        # Otherwise the session expires after a week ("Resumable uploads").
        headers = {"Content-Length": "0"}
        await self._client.request(
            "DELETE", self._session, expect=_CANCEL_STATUSES, headers=headers
        )

    async def _send(
        self, method: str, url: str, expect: tuple[int, ...], headers: Mapping[str, str], body: Body
    ) -> Response[bytes] | bool:
        """Send a request that may write the object; as `Upload._result`."""

        def attempt(url: str, headers: Mapping[str, str]) -> Awaitable[Response[bytes]]:
            return self._attempt(self._client.once(method, url, headers, expect=expect, data=body))

        return await self._result(
            self._client.sign_and_retry(url, headers, attempt, budget=self._part_budget())
        )

    def _failure(self, error: Exception) -> WriteFailure:
        status = error.response.status if isinstance(error, StatusError) else None
        return WriteFailure.UPLOAD_GONE if status in _SESSION_GONE else failure_of_status(status)

    async def _read_back(self) -> bytes | memoryview | None:
        response = await self._reader.get(self._target, None)
        return None if response.status == 404 else response.body

    async def _read_writer(self) -> str | None:
        url = self._client.url(*self._target, fields="metadata")
        response = await self._client.request("GET", url, expect=(200, 404))
        if response.status == 404:
            return None
        metadata = parse_json(response.body).get("metadata")
        return metadata.get(WRITER) if isinstance(metadata, dict) else None


def multipart_upload(metadata: Mapping[str, Any], data: memoryview) -> tuple[Body, str]:
    """The body of an upload in one request, and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f"{json.dumps(metadata)}\r\n"
        f"--{boundary}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
    )
    tail = f"\r\n--{boundary}--\r\n"
    return Body(head.encode(), data, tail.encode()), f"multipart/related; boundary={boundary}"


def checksum_metadata(data: memoryview) -> dict[str, str]:
    """The checksum in an object's metadata; the service rejects other bytes."""
    value = crc32c_in_base64(data)
    return {"md5Hash": md5_in_base64(data)} if value is None else {"crc32c": value}


class RunningHash:
    """The checksum of a value that is uploaded in parts."""

    def __init__(self) -> None:
        start = ALGORITHMS.get("crc32c")
        self._name = "md5Hash" if start is None else "crc32c"
        self._hash: Hash = md5() if start is None else start()

    def update(self, part: memoryview) -> None:
        """Add the next bytes."""
        self._hash.update(part)

    def metadata(self) -> dict[str, str]:
        """The checksum as in `checksum_metadata`."""
        return {self._name: in_base64(self._hash.digest())}
