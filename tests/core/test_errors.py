from __future__ import annotations

import pickle

import pytest

from fsspec_store import RangeByteRequest, StoreError, errors
from fsspec_store.errors import ByteRangeError

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_pickling(cls: type[StoreError]) -> None:
    error = cls("what happened", key="c/0", url="s3://bucket")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == "what happened"
    assert (again.key, again.url) == ("c/0", "s3://bucket")
    assert isinstance(again, StoreError)


def test_a_byte_range_error_keeps_its_request_and_size() -> None:
    error = ByteRangeError("m", key="k", byte_range=RangeByteRequest(3, 3), size=2)
    again = pickle.loads(pickle.dumps(error))
    assert again.byte_range == RangeByteRequest(3, 3)
    assert again.size == 2


def test_a_missing_bucket_is_not_a_missing_key() -> None:
    # Readers fill in what raises FileNotFoundError.
    assert not issubclass(errors.BucketNotFoundError, FileNotFoundError)
    assert issubclass(errors.KeyNotFoundError, FileNotFoundError)
    assert issubclass(errors.AccessDeniedError, PermissionError)
