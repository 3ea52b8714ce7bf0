"""Faults of S3, by both transports."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from proxied import OnMinIO, OnSeaweedFS
from servers.fault_proxy import Answer

from . import FaultConformance, Protocol

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


def error(status: int) -> Answer:
    code = CODES.get(status, "Other")
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
    no_bulk=(error(405), error(501)),
    bulk_result=bulk_result,
)


class TestMinIO(OnMinIO, FaultConformance):
    protocol = PROTOCOL


class TestMinIOByS3fs(TestMinIO):
    transport = "library"


@pytest.mark.slow
class TestSeaweedFS(OnSeaweedFS, FaultConformance):
    protocol = PROTOCOL
