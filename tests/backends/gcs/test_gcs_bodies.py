from __future__ import annotations

import json
from email.parser import BytesParser

import numpy as np
import pytest

from fsspec_store._backends.checksums import ALGORITHMS, in_base64
from fsspec_store._backends.gcs.bodies import (
    Body,
    checksum_metadata,
    crc32c,
    multipart_upload,
)


async def sent(body: Body) -> bytes:
    return b"".join([bytes(piece) async for piece in body])


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**18 + 1, 2**20])
async def test_a_body_is_the_same_each_time_it_is_sent(size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)
    body = Body(b"head", memoryview(value)[:size], b"tail")
    assert body.size == size + 8
    for _ in range(2):
        assert await sent(body) == b"head" + value[:size] + b"tail"


async def test_a_large_body_is_sent_without_being_copied() -> None:
    value = bytes(2**20)
    pieces = [piece async for piece in Body(b"head", memoryview(value))]
    assert len(pieces) > 2
    assert all(isinstance(piece, memoryview) for piece in pieces)
    assert {id(piece.obj) for piece in pieces[1:]} == {id(value)}


async def test_an_upload_holds_metadata_and_value() -> None:
    value = b"\r\n--==0==\r\n\x00\xff"
    metadata = {"name": "ü #\r\n", "contentType": "application/x"}
    body, content_type = multipart_upload(metadata, memoryview(value))
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    first, second = BytesParser().parsebytes(head + await sent(body)).get_payload()
    assert json.loads(first.get_payload()) == metadata
    assert second.get_content_type() == "application/x"
    assert (await sent(body)).count(b"\r\n\r\n" + value + b"\r\n--") == 1


@pytest.mark.parametrize("make", [bytes, bytearray, lambda data: np.frombuffer(data, "u1").copy()])
def test_checksums_are_in_base_64(make: object) -> None:
    # The check value of the algorithm's definition (RFC 3720, appendix B.4, has others).
    view = memoryview(make(b"123456789"))  # type: ignore[operator]
    assert checksum_metadata(view) == {"crc32c": "4waSgw=="}
    assert checksum_metadata(memoryview(b"")) == {"crc32c": "AAAAAA=="}


def test_a_checksum_of_a_large_value_is_computed_in_parts() -> None:
    value = bytes(range(256)) * (2**15 + 1)
    whole = ALGORITHMS["crc32c"]()
    whole.update(memoryview(value))
    assert crc32c(memoryview(value)) == in_base64(whole.digest())


def test_without_a_fast_library_the_md5_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ALGORITHMS, "crc32c")
    assert crc32c(memoryview(b"x")) is None
    assert checksum_metadata(memoryview(b"")) == {"md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}
