"""Clients that are made for large values: AWS's CRT and s3dlio. They only read and write."""

# The methods are documented in `Subject`.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
import os
from io import BytesIO
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from benchmarks.places import REGION

if TYPE_CHECKING:
    from benchmarks.places import Place, S3Endpoint


class _TransferSubject:
    """A client that only reads and writes whole values."""

    store: Any

    def supports(self, method: str) -> bool:
        return False

    def value(self, data: bytes) -> Any:
        return data

    def _cannot(self, *arguments: Any) -> NoReturn:
        raise NotImplementedError("it reads and writes whole values")

    get_range = get_partial_values = get_ranges = exists = _cannot
    list_all = list_dir = getsize_prefix = delete_dir = _cannot


class CRTSubject(_TransferSubject):
    """The S3 client of AWS's Common Runtime, in its defaults."""

    def __init__(self, place: Place, endpoint: S3Endpoint) -> None:
        from awscrt import auth, http, io, s3

        self._s3, self._http = s3, http
        self._host = urlsplit(endpoint.url).netloc
        self._path = f"/{place.bucket}/{place.root}"
        tls = None
        if place.ca is not None:
            options = io.TlsContextOptions()
            options.override_default_trust_store_from_path(ca_filepath=str(place.ca))
            tls = io.ClientTlsContext(options).new_connection_options()
        mode = s3.S3RequestTlsMode
        self.store = s3.S3Client(
            region=REGION,
            tls_mode=mode.DISABLED if tls is None else mode.ENABLED,
            tls_connection_options=tls,
            signing_config=s3.create_default_s3_signing_config(
                region=REGION,
                credential_provider=auth.AwsCredentialsProvider.new_static(
                    endpoint.key, endpoint.secret
                ),
            ),
        )

    async def get(self, key: str) -> bytearray | None:
        body = bytearray()

        def allocate(status_code: int, headers: list[tuple[str, str]], **others: Any) -> None:
            nonlocal body
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            body = bytearray(int(lengths[0]))

        def add(chunk: bytes, offset: int, **others: Any) -> None:
            body[offset : offset + len(chunk)] = chunk

        kind = self._s3.S3RequestType.GET_OBJECT
        try:
            await self._send(kind, "GET", key, on_headers=allocate, on_body=add)
        except self._s3.S3ResponseError as error:
            if error.status_code == 404:
                return None
            raise
        return body

    async def set(self, key: str, value: bytes) -> None:
        kind = self._s3.S3RequestType.PUT_OBJECT
        await self._send(kind, "PUT", key, value)

    async def _send(
        self, kind: Any, method: str, key: str, body: bytes | None = None, **callbacks: Any
    ) -> None:
        headers = [("host", self._host)]
        if body is not None:
            headers.append(("content-length", str(len(body))))
        request = self._http.HttpRequest(
            method,
            f"{self._path}/{key}",
            self._http.HttpHeaders(headers),
            None if body is None else BytesIO(body),
        )
        sent = self.store.make_request(type=kind, request=request, **callbacks)
        await asyncio.wrap_future(sent.finished_future)


class S3dlioSubject(_TransferSubject):
    """The asynchronous functions of s3dlio, which has one endpoint in a process."""

    def __init__(self, place: Place, endpoint: S3Endpoint) -> None:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": endpoint.key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint.url,
        }
        if place.ca is not None:
            os.environ["AWS_CA_BUNDLE"] = str(place.ca)
        import s3dlio

        self.store = s3dlio
        self._url = f"s3://{place.bucket}/{place.root}"

    async def get(self, key: str) -> memoryview | None:
        try:
            found = await self.store.get_async(f"{self._url}/{key}")
        except RuntimeError as error:
            if "NoSuchKey" in str(error):
                return None
            raise
        data: memoryview = found.memoryview()
        return data

    def set(self, key: str, value: bytes) -> Any:
        return self.store.put_bytes_async(f"{self._url}/{key}", value)
