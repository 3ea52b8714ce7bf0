"""Faults of S3, by both transports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from proxied import OnMinIO, OnMinIOOverTLS, OnSeaweedFS
from servers import S3Endpoint
from servers.fault_proxy import Answer, FaultProxy

from fsspec_store import FsspecStore

from . import (
    CredentialRules,
    FaultConformance,
    LargeReadingRules,
    PartsRules,
    Protocol,
    ReadingRules,
    Rotating,
    WriteFaultConformance,
    WritingRules,
)

CODES = {
    400: "InvalidRequest",
    401: "InvalidTokenId",
    403: "AccessDenied",
    405: "MethodNotAllowed",
    412: "PreconditionFailed",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}


def error(status: int, code: str | None = None) -> Answer:
    code = code or CODES.get(status, "Other")
    body = f"<Error><Code>{code}</Code><Message>from the test</Message></Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


def commits(method: str, target: str, headers: Mapping[str, str]) -> bool:
    if method == "POST":
        return "uploadId=" in target
    return method == "PUT" and "partNumber=" not in target


def bulk_result(statuses: Mapping[str, int]) -> Answer:
    errors = "".join(
        f"<Error><Key>{key}</Key><Code>{CODES[status]}</Code><Message>no</Message></Error>"
        for key, status in statuses.items()
        if status in CODES
    )
    return Answer(200, {}, f"<DeleteResult>{errors}</DeleteResult>".encode())


PROTOCOL = Protocol(
    error=error,
    commits=commits,
    part_bytes=5 * 2**20,
    upload_lost=error(404, "NoSuchUpload"),
    no_bulk=(error(405), error(501)),
    bulk_result=bulk_result,
)


class TestMinIO(OnMinIO, FaultConformance, CredentialRules):
    protocol = PROTOCOL

    @pytest.fixture(params=["ExpiredToken", "TokenRefreshRequired", "RequestExpired"])
    def rotating(
        self,
        request: pytest.FixtureRequest,
        endpoint: S3Endpoint,
        proxy: FaultProxy,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Rotating:
        file = tmp_path / "credentials"
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

        def write(key: str) -> None:
            keys = f"aws_access_key_id={key}\naws_secret_access_key={endpoint.secret}"
            file.write_text(f"[default]\n{keys}\n")

        def rejects(method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
            is_old = "Credential=OLDKEY/" in headers["authorization"]
            return error(400, request.param) if is_old else None

        write("OLDKEY")
        options = {"endpoint_url": proxy.url, "client_kwargs": {"region_name": "us-east-1"}}
        url = f"s3://{endpoint.make_bucket()}/x"
        store = FsspecStore.from_url(url, options, retries=0, transport=self.transport)
        return Rotating(store, rejects, lambda: write(endpoint.key))


class TestMinIOByS3fs(TestMinIO):
    transport = "library"
    fast_rules = (ReadingRules, WritingRules, CredentialRules)


@pytest.mark.slow
class TestMinIOOverTLS(OnMinIOOverTLS, WriteFaultConformance, LargeReadingRules, PartsRules):
    protocol = PROTOCOL


@pytest.mark.slow
class TestSeaweedFS(OnSeaweedFS, FaultConformance):
    protocol = PROTOCOL
