"""Checksums of whole objects in response headers."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store._backends.s3.checksums import ChecksumError, stated_checksum

DIGESTS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


def text(algorithm: str, data: bytes) -> str:
    return base64.b64encode(DIGESTS[algorithm](data)).decode()


@pytest.mark.parametrize("algorithm", DIGESTS)
@given(pieces=st.lists(st.binary(max_size=300), max_size=6), change=st.integers(0, 10**6))
def test_chunks_and_whole_bodies_are_verified(
    algorithm: str, pieces: list[bytes], change: int
) -> None:
    data = b"".join(pieces)
    headers = {f"x-amz-checksum-{algorithm}": text(algorithm, data)}

    def by_pieces(pieces: list[bytes]) -> None:
        checksum = stated_checksum(headers)
        assert checksum is not None
        for piece in pieces:
            checksum.update(memoryview(piece))
        checksum.verify()

    by_pieces(pieces)
    whole = stated_checksum(headers)
    assert whole is not None
    whole.verify_whole(memoryview(data))
    if data:
        place = change % len(data)
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        for wrong in ([changed], [*pieces, b"!"], [data[:-1]]):
            with pytest.raises(ChecksumError, match=algorithm):
                by_pieces(wrong)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-amz-checksum-crc32": "AAAAAA==-2"},
        {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-unheard-of": "AAAAAA=="},
        {"etag": "AAAAAA=="},
    ],
    ids=repr,
)
def test_checksums_of_parts_or_unknown_algorithms_are_ignored(headers: dict[str, str]) -> None:
    assert stated_checksum(headers) is None


def test_a_checksum_of_type_full_object_is_used() -> None:
    headers = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-type": "FULL_OBJECT"}
    checksum = stated_checksum(headers)
    assert checksum is not None
    # The checksum of no bytes.
    checksum.verify()
