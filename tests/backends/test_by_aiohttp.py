"""The contract on Google's and Azure's emulators for users who configured their sessions.

For them every request goes by aiohttp, and the answers are the same.
"""

from __future__ import annotations

import dataclasses

import pytest

from . import test_azurite, test_gcs


class TestFakeGCSByAiohttp(test_gcs.TestFakeGCS):
    limits = dataclasses.replace(test_gcs.TestFakeGCS.limits, examples=10, many=150)
    service = "fake-gcs-server, by aiohttp"

    @pytest.fixture(autouse=True)
    def _by_aiohttp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fsspec_store._backends.gcs.calls.is_plain", lambda fs: False)


class TestAzuriteByAiohttp(test_azurite.TestAzurite):
    limits = dataclasses.replace(test_azurite.TestAzurite.limits, examples=10, many=150)
    service = "Azurite, by aiohttp"

    @pytest.fixture(autouse=True)
    def _by_aiohttp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "fsspec_store._backends.azure.requests.PlainClient", lambda service, policy: None
        )
