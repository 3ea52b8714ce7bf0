"""How a value gets to Google Cloud Storage: in one request, or as a resumable upload.

An answer that was lost on its way is made up for: the write may have happened all the same, and
then its repetition fails. Knows the upload protocols, and not how a request is sent.
"""

from __future__ import annotations

import json
import re
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ...threads import in_thread
from ..http_answers import Answer, StatusError
from ..parsing import parse_json
from .answers import check_stored
from .requests import LONG_TO_HASH, Body, checksum, multipart_upload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..cleanup import Cleanup
    from .calls import Calls

__all__ = ["Upload"]

T = TypeVar("T")

#: From here on a value is uploaded in chunks, where the service resumes uploads as it should.
_RESUMABLE_THRESHOLD = 64 * 2**20
#: A multiple of 256 KiB, as the service wants it.
_CHUNK_BYTES = 16 * 2**20
#: The service keeps whole ones ("Resumable uploads").
_LEAST_KEPT = 256 * 2**10

_CONTENT_TYPE = "application/octet-stream"
#: What the answer to a write says of the object.
_STORED = "size,crc32c,md5Hash"
#: Refusals after which nothing was written.
_NOT_DONE = frozenset({401, 403, 429})
#: What a repeated write may meet that was done the first time.
_MAY_BE_DONE = frozenset({404, 410, 412})
#: A session that the service forgot has to be begun again.
_SESSION_GONE = frozenset({404, 410})
_SESSIONS = 3
_CANCELLED = (200, 204, 404, 410, 499)
#: What a request line holds.
_TARGET = re.compile(r"/[!-~]*")
_RANGE = re.compile(r"bytes=0-(\d{1,18})")
#: Metadata by which a replacement is known again: equal bytes may be another writer's.
_WRITER = "fsspec-store-writer"


class Upload:
    """One write of one value, under a condition or none.

    Parameters
    ----------
    calls : Calls
        Sends requests.
    read : callable
        ``await read()`` returns, in one attempt, what is stored at the name, ``None`` if nothing.
    bucket, name : str
        Of the object.
    data : memoryview
        The value.
    condition : mapping
        ``{}`` or ``{"ifGenerationMatch": generation}``; generation 0 is: no object.
    cleanup : Cleanup
        Takes the end of a resumable upload that failed.
    """

    def __init__(
        self,
        calls: Calls,
        read: Callable[[], Awaitable[bytes | memoryview | None]],
        bucket: str,
        name: str,
        data: memoryview,
        condition: Mapping[str, str],
        cleanup: Cleanup,
    ) -> None:
        self._calls = calls
        self._cleanup = cleanup
        self._read = read
        self._bucket = bucket
        self._name = name
        self._data = data
        self._condition = condition
        is_replacement = condition.get("ifGenerationMatch", "0") != "0"
        #: Of a replacement alone: of a creation, all writers of equal bytes are served.
        self._writer = secrets.token_hex(8) if is_replacement else None

    async def run(self, *, resumable: bool) -> bool:
        """Write, and say whether this did: ``False`` when the condition was not met.

        Parameters
        ----------
        resumable : bool
            Whether a large value may go as a resumable upload.
        """
        if self._data.nbytes < LONG_TO_HASH:
            declared = checksum(self._data)
        else:
            declared = await in_thread(checksum, self._data)
        if resumable and self._data.nbytes >= _RESUMABLE_THRESHOLD:
            return await self._run_sessions(declared)
        return await self._run_at_once(declared)

    def _url(self, **params: str) -> str:
        return self._calls.url(self._bucket, api="/upload/storage/v1", **params)

    async def _run_at_once(self, declared: dict[str, str]) -> bool:
        body, content_type = multipart_upload(self._described(declared), self._data)
        url = self._url(uploadType="multipart", fields=_STORED, **self._condition)

        async def request() -> Answer:
            return await self._calls.once(
                "POST",
                url,
                expect=(200,),
                headers={"Content-Type": content_type, "Content-Length": str(body.size)},
                data=body,
            )

        answer = await self._write(request)
        if isinstance(answer, Answer):
            check_stored(answer, self._data, declared)
        return bool(answer)

    async def _run_sessions(self, declared: dict[str, str]) -> bool:
        for _ in range(_SESSIONS):
            session = await self._begin(declared)
            if session is None:
                return False
            try:
                answer = await self._send_chunks(session)
            except BaseException as error:
                if isinstance(error, StatusError) and error.answer.status in _SESSION_GONE:
                    continue
                await self._cleanup.run(partial(_cancel, self._calls, session), error)
                raise
            if isinstance(answer, Answer):
                check_stored(answer, self._data, declared)
            return bool(answer)
        raise OSError(f"the service forgot the upload {_SESSIONS} times")

    async def _begin(self, declared: dict[str, str]) -> str | None:
        """The URL of a new session, ``None`` when the condition is not met already."""
        url = self._url(uploadType="resumable", fields=_STORED, **self._condition)
        body = Body(json.dumps(self._described(declared)).encode())
        answer = await self._calls.send(
            lambda: self._calls.once(
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
        )
        return None if answer.status == 412 else self._session(answer.headers.get("Location", ""))

    def _session(self, location: str) -> str:
        """The URL of a session, on the endpoint whatever host is named: the token goes there."""
        try:
            parts = urlsplit(location)
        except ValueError:
            parts = urlsplit("")
        target = parts.path + (parts.query and f"?{parts.query}")
        if parts.scheme not in ("http", "https") or not _TARGET.fullmatch(target):
            raise OSError("the service began an upload and did not say where it goes on")
        endpoint = urlsplit(self._calls.endpoint)
        return f"{endpoint.scheme}://{endpoint.netloc}{target}"

    async def _send_chunks(self, session: str) -> Answer | bool:
        size = self._data.nbytes
        start = 0
        while True:
            end = min(start + _CHUNK_BYTES, size)
            body = Body(self._data[start:end])
            headers = {
                "Content-Length": str(body.size),
                "Content-Range": f"bytes {start}-{end - 1}/{size}",
                "Content-Type": _CONTENT_TYPE,
            }

            async def request(headers: dict[str, str] = headers, body: Body = body) -> Answer:
                # Sent again, the service passes over what it has of it.
                return await self._calls.once(
                    "PUT", session, expect=(200, 201, 308), headers=headers, data=body
                )

            answer = await self._write(request)
            if isinstance(answer, bool) or (answer.status != 308 and end == size):
                return answer
            if answer.status != 308:
                raise aiohttp.ClientPayloadError(
                    f"the service ended an upload of {size} bytes when {end} had been sent"
                )
            match = _RANGE.fullmatch(answer.headers.get("Range", ""))
            kept = int(match[1]) + 1 if match else 0
            least = min(start + _LEAST_KEPT, end)
            if not least <= kept <= end or kept == size:
                raise aiohttp.ClientPayloadError(
                    f"of an upload the service kept {kept} bytes when {end} had been sent"
                )
            start = kept

    async def _write(self, request: Callable[[], Awaitable[Answer]]) -> Answer | bool:
        """Send a request that may make the object appear.

        Its answer, or whether the object is there by an earlier attempt of this very write.
        """
        answer_lost = False

        async def attempt() -> Answer | bool:
            nonlocal answer_lost
            try:
                return await request()
            except Exception as error:
                status = error.answer.status if isinstance(error, StatusError) else None
                if answer_lost and status in _MAY_BE_DONE and await self._is_stored():
                    return True
                if status == 412 and self._condition:
                    return False
                answer_lost = answer_lost or status not in _NOT_DONE
                raise

        answer: Answer | bool = await self._calls.send(attempt)
        return answer

    def _described(self, declared: Mapping[str, str]) -> dict[str, Any]:
        """The object's metadata."""
        own = {} if self._writer is None else {"metadata": {_WRITER: self._writer}}
        return {"name": self._name, "contentType": _CONTENT_TYPE, **declared, **own}

    async def _is_stored(self) -> bool:
        """Whether this write is what is there, within another request's attempt."""
        if self._writer is None:
            return await self._read() == self._data
        url = self._calls.url(self._bucket, self._name, fields="metadata")
        answer = await self._calls.once("GET", url, expect=(200, 404))
        if answer.status == 404:
            return False
        found = parse_json(answer.body).get("metadata")
        return isinstance(found, dict) and found.get(_WRITER) == self._writer


async def _cancel(calls: Calls, session: str) -> None:
    # Without this the service forgets the session in a week ("Resumable uploads").
    await calls.send(
        lambda: calls.once("DELETE", session, expect=_CANCELLED, headers={"Content-Length": "0"})
    )
