"""Uploads a value in one request, or as a resumable upload.

After a lost response the value is read back: the write may have succeeded, and then its retry
fails. Does not know how a request is sent.
"""

from __future__ import annotations

import json
import re
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ..._http.parsing import parse_json
from ..._http.responses import StatusError, WholeResponse
from ..._runtime.threads import in_thread
from .bodies import HASH_IN_THREAD_BYTES, Body, checksum_metadata, multipart_upload
from .responses import verify_stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..cleanup import Cleanup
    from .client import Client

__all__ = ["Upload"]

T = TypeVar("T")

#: The service stores multiples of this size ("Resumable uploads").
_CHUNK_MULTIPLE = 256 * 2**10
_CONTENT_TYPE = "application/octet-stream"
#: Metadata that the response to a write contains.
_STORED_FIELDS = "size,crc32c,md5Hash"
#: Statuses that prove that nothing was written.
_NOT_WRITTEN = frozenset({401, 403, 429})
#: Statuses of a retry whose first attempt may have written.
_MAYBE_WRITTEN = frozenset({404, 410, 412})
#: The session does not exist any more; the upload starts again.
_SESSION_GONE = frozenset({404, 410})
_MAX_SESSIONS = 3
_CANCEL_STATUSES = (200, 204, 404, 410, 499)
#: Path and query that a request line can hold.
_REQUEST_TARGET = re.compile(r"/[!-~]*")
_RANGE = re.compile(r"bytes=0-(\d{1,18})")
#: Metadata that identifies the writer of a replacement: another may write equal bytes.
_WRITER_KEY = "fsspec-store-writer"


class Upload:
    """One write of one value, with or without a condition.

    Parameters
    ----------
    client : Client
        Sends requests.
    read_back : callable
        ``await read_back()`` returns the stored object in one attempt, ``None`` if it is missing.
    bucket, name : str
        Bucket and name of the object.
    data : memoryview
        The value.
    condition : mapping
        ``{}`` or ``{"ifGenerationMatch": generation}``; generation 0 means: no object.
    cleanup : Cleanup
        Cancels a resumable upload that failed.
    """

    def __init__(
        self,
        client: Client,
        read_back: Callable[[], Awaitable[bytes | memoryview | None]],
        bucket: str,
        name: str,
        data: memoryview,
        condition: Mapping[str, str],
        cleanup: Cleanup,
    ) -> None:
        self._client = client
        self._cleanup = cleanup
        self._read_back = read_back
        self._bucket = bucket
        self._name = name
        self._data = data
        self._condition = condition
        is_replacement = condition.get("ifGenerationMatch", "0") != "0"
        #: Only for replacements: a creation succeeds for all writers of equal bytes.
        self._writer_id = secrets.token_hex(8) if is_replacement else None

    async def run(self, *, chunk_bytes: int | None = None) -> bool:
        """Write the value; ``False`` when the condition is not met.

        Parameters
        ----------
        chunk_bytes : int, optional
            Chunk size of a resumable upload, a multiple of 256 KiB; by default the value is
            uploaded in one request.
        """
        if self._data.nbytes < HASH_IN_THREAD_BYTES:
            checksums = checksum_metadata(self._data)
        else:
            checksums = await in_thread(checksum_metadata, self._data)
        if chunk_bytes is None:
            return await self._run_single_request(checksums)
        return await self._run_resumable(checksums, chunk_bytes)

    def _url(self, **params: str) -> str:
        return self._client.url(self._bucket, api="/upload/storage/v1", **params)

    async def _run_single_request(self, checksums: dict[str, str]) -> bool:
        body, content_type = multipart_upload(self._metadata(checksums), self._data)
        url = self._url(uploadType="multipart", fields=_STORED_FIELDS, **self._condition)

        async def request() -> WholeResponse:
            return await self._client.request_once(
                "POST",
                url,
                expect=(200,),
                headers={"Content-Type": content_type, "Content-Length": str(body.size)},
                data=body,
            )

        response = await self._write(request)
        if isinstance(response, WholeResponse):
            verify_stored(response, self._data, checksums)
        return bool(response)

    async def _run_resumable(self, checksums: dict[str, str], chunk_bytes: int) -> bool:
        for _ in range(_MAX_SESSIONS):
            session = await self._start_session(checksums)
            if session is None:
                return False
            try:
                response = await self._send_chunks(session, chunk_bytes)
            except BaseException as error:
                if isinstance(error, StatusError) and error.response.status in _SESSION_GONE:
                    continue
                await self._cleanup.run(partial(_cancel, self._client, session), error)
                raise
            if isinstance(response, WholeResponse):
                verify_stored(response, self._data, checksums)
            return bool(response)
        raise OSError(f"the service lost the session of the resumable upload {_MAX_SESSIONS} times")

    async def _start_session(self, checksums: dict[str, str]) -> str | None:
        """The URL of a new upload session, ``None`` when the condition is not met."""
        url = self._url(uploadType="resumable", fields=_STORED_FIELDS, **self._condition)
        body = Body(json.dumps(self._metadata(checksums)).encode())
        response = await self._client.request(
            "POST",
            url,
            expect=(200, 412) if self._condition else (200,),
            headers={
                "Content-Length": str(body.size),
                "Content-Type": "application/json; charset=UTF-8",
                "X-Upload-Content-Type": _CONTENT_TYPE,
                "X-Upload-Content-Length": str(self._data.nbytes),
            },
            data=body,
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
        endpoint = urlsplit(self._client.endpoint)
        return f"{endpoint.scheme}://{endpoint.netloc}{target}"

    async def _send_chunks(self, session: str, chunk_bytes: int) -> WholeResponse | bool:
        size = self._data.nbytes
        start = 0
        while True:
            end = min(start + chunk_bytes, size)
            body = Body(self._data[start:end])
            headers = {
                "Content-Length": str(body.size),
                "Content-Range": f"bytes {start}-{end - 1}/{size}",
                "Content-Type": _CONTENT_TYPE,
            }

            async def request(
                headers: dict[str, str] = headers, body: Body = body
            ) -> WholeResponse:
                # In a retry the service skips the bytes it has.
                return await self._client.request_once(
                    "PUT", session, expect=(200, 201, 308), headers=headers, data=body
                )

            response = await self._write(request)
            if isinstance(response, bool) or (response.status != 308 and end == size):
                return response
            if response.status != 308:
                raise aiohttp.ClientPayloadError(
                    f"the service ended an upload of {size} bytes after {end} bytes"
                )
            match = _RANGE.fullmatch(response.headers.get("Range", ""))
            stored = int(match[1]) + 1 if match else 0
            minimum = min(start + _CHUNK_MULTIPLE, end)
            if not minimum <= stored <= end or stored == size:
                raise aiohttp.ClientPayloadError(
                    f"the service stored {stored} of the {end} bytes that were uploaded"
                )
            start = stored

    async def _write(self, request: Callable[[], Awaitable[WholeResponse]]) -> WholeResponse | bool:
        """Send a request that may write the object.

        Returns the response, or whether an earlier attempt of this write stored the object.
        """
        response_lost = False

        async def attempt() -> WholeResponse | bool:
            nonlocal response_lost
            try:
                return await request()
            except Exception as error:
                status = error.response.status if isinstance(error, StatusError) else None
                if response_lost and status in _MAYBE_WRITTEN and await self._is_stored():
                    return True
                if status == 412 and self._condition:
                    return False
                response_lost = response_lost or status not in _NOT_WRITTEN
                raise

        response: WholeResponse | bool = await self._client.retry(attempt)
        return response

    def _metadata(self, checksums: Mapping[str, str]) -> dict[str, Any]:
        """The object's metadata."""
        own = {} if self._writer_id is None else {"metadata": {_WRITER_KEY: self._writer_id}}
        return {"name": self._name, "contentType": _CONTENT_TYPE, **checksums, **own}

    async def _is_stored(self) -> bool:
        """Whether this write is what is stored; sends one request, as a part of an attempt."""
        if self._writer_id is None:
            return await self._read_back() == self._data
        url = self._client.url(self._bucket, self._name, fields="metadata")
        response = await self._client.request_once("GET", url, expect=(200, 404))
        if response.status == 404:
            return False
        found = parse_json(response.body).get("metadata")
        return isinstance(found, dict) and found.get(_WRITER_KEY) == self._writer_id


async def _cancel(client: Client, session: str) -> None:
    # Otherwise the session expires after a week ("Resumable uploads").
    headers = {"Content-Length": "0"}
    await client.request("DELETE", session, expect=_CANCEL_STATUSES, headers=headers)
