"""Where the page of web servers runs: one nginx that behaves as several servers do."""

from __future__ import annotations

import pytest
from servers.nginx import HTTPEndpoint

from .contents import write_era5
from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    endpoint: HTTPEndpoint = request.getfixturevalue("nginx_endpoint")
    write_era5(str(endpoint.folder / "era5.zarr"))
    write_era5(str(endpoint.folder / "era5-v2.zarr"), consolidated=True)
    return Place(
        words={
            "https://data.example.org": endpoint.url,
            "https://unlisted.example.org": endpoint.unlisted_url,
            "https://rangeless.example.org": endpoint.rangeless_url,
            "https://anna:secret-of-anna@members.example.org": endpoint.protected_url.replace(
                "://", f"://{endpoint.user}:{endpoint.password}@"
            ),
            "https://***@members.example.org": endpoint.protected_url.replace("://", "://***@"),
            'b"anna:secret-of-anna"': f'b"{endpoint.user}:{endpoint.password}"',
            "https://members.example.org": endpoint.protected_url,
            "https://api.example.org": endpoint.bearer_url,
            "https://closed.example.org": endpoint.forbidden_url,
            "token-of-anna": endpoint.bearer,
        },
    )
