from __future__ import annotations

import json
from email.parser import BytesParser

import numpy as np
import pytest

from fsspec_store._backends.checksums import ALGORITHMS, crc32c_in_base64, in_base64
from fsspec_store._backends.gcs.uploads import checksum_metadata, multipart_upload


def test_an_upload_holds_metadata_and_value() -> None:
    value = b"\r\n--==0==\r\n\x00\xff"
    metadata = {"name": "ü #\r\n", "contentType": "application/x"}
    body, content_type = multipart_upload(metadata, memoryview(value))
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    first, second = BytesParser().parsebytes(head + body.in_one_piece()).get_payload()
    assert json.loads(first.get_payload()) == metadata
    assert second.get_content_type() == "application/x"
    assert bytes(body.in_one_piece()).count(b"\r\n\r\n" + value + b"\r\n--") == 1


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
    assert crc32c_in_base64(memoryview(value)) == in_base64(whole.digest())


def test_without_a_fast_library_the_md5_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ALGORITHMS, "crc32c")
    assert crc32c_in_base64(memoryview(b"x")) is None
    assert checksum_metadata(memoryview(b"")) == {"md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg=="}
