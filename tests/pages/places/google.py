"""Where the page of Google Cloud Storage runs: an emulator, behind a gate that knows accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import GCSEndpoint
from servers.fault_proxy import FaultProxy
from servers.google_accounts import GoogleAccounts

from .contents import write_era5
from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    endpoint: GCSEndpoint = request.getfixturevalue("fake_gcs_endpoint")
    accounts: GoogleAccounts
    gate: FaultProxy
    accounts, gate = request.getfixturevalue("google_gate")
    for bucket in ("weather", "weather-open", "weather-paid"):
        endpoint.make_bucket(bucket)
        write_era5(f"gs://{bucket}/era5.zarr", endpoint.storage_options())
    home = Path(request.getfixturevalue("tmp_path")) / "home"
    keys = home / "keys"
    keys.mkdir(parents=True)
    accounts.write_key(keys / "weather-writer.json", "writer", may_write=True)
    accounts.write_key(keys / "weather-reader.json", "reader", may_write=False)
    accounts.write_key(keys / "revoked.json", "revoked", may_write=False)
    accounts.remove("revoked")
    return Place(
        environment={
            "STORAGE_EMULATOR_HOST": gate.url,
            # Nobody else is asked for credentials, nor what a token is good for.
            "NO_GCE_CHECK": "true",
            "FETCH_RAW_TOKEN_EXPIRY": "false",
        },
        words={
            "/home/me": str(home),
            "ya29.example-of-a-token": accounts.token(may_write=False),
            "http://127.0.0.1:4443": endpoint.url,
        },
    )
