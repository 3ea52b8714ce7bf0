"""Where the first page runs: it starts its own servers, on ports that everybody knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from servers.fixtures import or_skip
from servers.minio import find_minio
from servers.ports import port_block

from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    ended = ExitStack()
    request.addfinalizer(ended.close)
    minio = ended.enter_context(or_skip(_program()))
    port = ended.enter_context(port_block())
    return Place(
        words={
            ".tools/bin/minio": minio,
            "127.0.0.1:9000": f"127.0.0.1:{port}",
            "8000": str(port + 1),
        }
    )


@contextmanager
def _program() -> Iterator[str]:
    yield find_minio()
