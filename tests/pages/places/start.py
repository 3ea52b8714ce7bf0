"""Where the first page runs: it starts its own servers, on ports that everybody knows."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from servers.ports import port_block

from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    ended = ExitStack()
    request.addfinalizer(ended.close)
    port = ended.enter_context(port_block())
    return Place(words={"9000": str(port), "8000": str(port + 1)})
