"""Faults of Azure Blob Storage, on Azurite."""

from __future__ import annotations

import pytest
from proxied import OnAzurite
from servers.fault_proxy import Answer

from . import FaultConformance, Protocol

CODES = {403: "AuthorizationFailure", 412: "ConditionNotMet", 503: "ServerBusy"}


def error(status: int) -> Answer:
    return Answer(status, {"x-ms-error-code": CODES.get(status, "Other")})


class TestAzurite(OnAzurite, FaultConformance):
    protocol = Protocol(
        error=error,
        commits=lambda method, target, headers: method == "PUT" and "comp=block&" not in target,
        part_bytes=1000,
        upload_lost=Answer(400, {"x-ms-error-code": "InvalidBlockList"}),
        no_bulk=[
            Answer(400, {}, b"{}"),
            Answer(411, {"Content-Type": "text/html"}, b"<!DOCTYPE html><h1>Sorry</h1>"),
            Answer(501),
        ],
    )


@pytest.mark.slow
class TestAzuriteByAiohttp(TestAzurite):
    transport = "library"
