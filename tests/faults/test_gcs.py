"""Faults of Google Cloud Storage, on its emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from gcsfs.core import GCSFileSystem
from google.auth.credentials import Credentials
from google_api import GoogleFileSystem, batch_response, error_response
from proxied import OnFakeGCS
from servers import GCSEndpoint
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import FsspecStore

from . import CredentialRules, FaultConformance, Protocol, Rotating


def commits(method: str, target: str, headers: Mapping[str, str]) -> bool:
    if method == "PUT":
        # The last chunk of an upload in parts.
        last, _, total = headers["content-range"].rpartition("-")[2].partition("/")
        return total == str(int(last) + 1)
    return method == "POST" and "/upload/" in target and "uploadType=resumable" not in target


def bulk_result(statuses: Mapping[str, int]) -> Answer:
    return batch_response(statuses.values(), [f"no {key}" for key in statuses])


class Token(Credentials):  # type: ignore[misc]
    """Credentials whose next token is an attribute."""

    next_token = "old"

    def refresh(self, request: Any) -> None:
        self.token = self.next_token


class TestFakeGCS(OnFakeGCS, FaultConformance, CredentialRules):
    filesystem = GoogleFileSystem
    protocol = Protocol(
        error=error_response,
        commits=commits,
        part_bytes=2**18,
        condition_first="the service checks it before the first part",
        no_bulk=[
            Answer(status, {}, body)
            for status, body in (
                (400, b"{}"),
                (404, b""),
                (405, b""),
                (410, b""),
                (411, b"<!DOCTYPE html><h1>Sorry</h1>"),
                (422, b""),
            )
        ],
        bulk_result=bulk_result,
    )

    @pytest.fixture
    def rotating(self, endpoint: GCSEndpoint, proxy: FaultProxy) -> Rotating:
        token = Token()

        def rejects(method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
            return error_response(401) if headers["authorization"] == "Bearer old" else None

        options = {**endpoint.storage_options(), "endpoint_url": proxy.url, "token": token}
        root = f"{endpoint.make_bucket()}/x"
        store = FsspecStore(GCSFileSystem(**options), root, retries=0, transport=self.transport)
        return Rotating(store, rejects, lambda: setattr(token, "next_token", "new"))


@pytest.mark.slow
class TestFakeGCSByAiohttp(TestFakeGCS):
    transport = "library"
