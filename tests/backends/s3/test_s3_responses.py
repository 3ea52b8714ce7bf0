from __future__ import annotations

from typing import ClassVar

from fsspec_store._backends.s3.responses import error_code


def test_the_error_code_of_a_wrapped_error() -> None:
    class ClientError(Exception):
        response: ClassVar = {"Error": {"Code": "NoSuchKey"}}

    inner = OSError()
    inner.__cause__ = ClientError()
    outer = FileNotFoundError()
    outer.__cause__ = inner
    assert error_code(outer) == "NoSuchKey"
    assert error_code(OSError("connection reset")) is None
