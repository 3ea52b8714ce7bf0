from __future__ import annotations

from typing import Any

import pytest

from fsspec_store._http.payloads import Body


class Writer:
    """Collects what is written."""

    def __init__(self) -> None:
        self.pieces: list[memoryview] = []

    async def write(self, piece: memoryview) -> None:
        self.pieces.append(piece)


async def sent(body: Body) -> list[memoryview]:
    writer: Any = Writer()
    await body.write(writer)
    pieces: list[memoryview] = writer.pieces
    return pieces


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**18 + 1, 2**21])
async def test_a_body_is_the_same_each_time_it_is_sent(size: int) -> None:
    value = (bytes(range(256)) * (size // 256 + 1))[:size]
    for body, whole in (
        (Body(value), value),
        (Body(b"head", memoryview(value), b"tail"), b"head" + value + b"tail"),
    ):
        assert body.size == len(whole)
        assert body.in_one_piece() == whole
        for _ in range(2):
            assert b"".join(await sent(body)) == whole


async def test_a_large_body_is_sent_without_being_copied() -> None:
    value = bytes(2**21)
    body = Body(b"head", memoryview(value))
    pieces = await sent(body)
    assert not body.is_contiguous
    assert len(pieces) > 2
    assert {id(piece.obj) for piece in pieces[1:]} == {id(value)}
    assert Body(value).in_one_piece().obj is value


def test_a_body_is_decoded() -> None:
    assert Body(b"a", "ü".encode()).decode() == "aü"
