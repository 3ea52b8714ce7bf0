from __future__ import annotations

from typing import Any

from fsspec_store._http.aiohttp_sessions import end_reading


class Connector:
    """With connections in use. Each is released when its body ends."""

    def __init__(self, count: int) -> None:
        self._acquired = {Connection(self) for _ in range(count)}
        self.ended = 0


class Connection:
    """A connection that is also its body."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self._payload = self

    def set_exception(self, error: Exception) -> None:
        self.connector._acquired.discard(self)
        self.connector.ended += 1


class Session:
    def __init__(self, connector: Any) -> None:
        self.connector = connector


def test_end_reading_ends_all_bodies() -> None:
    connector = Connector(3)
    end_reading(Session(connector))  # type: ignore[arg-type]
    assert connector.ended == 3
