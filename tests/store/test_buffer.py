from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsspec_store import Buffer, BufferPrototype, default_buffer_prototype
from fsspec_store._store.buffer import as_view

data = st.binary(max_size=200)
slices = st.slices(200).filter(lambda part: part.step in (None, 1))


@given(data)
def test_bytes_round_trip(raw: bytes) -> None:
    for source in (raw, bytearray(raw), memoryview(raw)):
        buffer = Buffer.from_bytes(source)
        assert buffer.to_bytes() == bytes(buffer) == raw
        assert len(buffer) == len(raw)
        assert buffer.as_numpy_array().tobytes() == raw
        assert buffer.as_array_like().dtype == np.uint8
        assert bytes(buffer.as_buffer_like()) == raw
        assert Buffer.from_buffer(buffer) == buffer


@given(data, slices)
def test_a_slice_is_pythons(raw: bytes, part: slice) -> None:
    assert Buffer.from_bytes(raw)[part].to_bytes() == raw[part]


@given(data, data)
def test_adding_and_comparing(left: bytes, right: bytes) -> None:
    first, second = Buffer.from_bytes(left), Buffer.from_bytes(right)
    assert (first + second).to_bytes() == left + right
    assert (first + right).to_bytes() == left + right
    assert (first == second) == (left == right)
    assert (first == right) == (left == right)


def test_nothing_is_copied() -> None:
    raw = bytearray(b"0123456789")
    buffer = Buffer.from_bytes(raw)
    part = Buffer.from_buffer(buffer[2:6])
    view = np.asarray(buffer.as_array_like())
    raw[2:4] = b"xy"
    assert buffer.to_bytes() == b"01xy456789"
    assert part.to_bytes() == b"xy45"
    assert view.tobytes() == b"01xy456789"
    assert bytes(part.as_buffer_like()) == b"xy45"


@pytest.mark.parametrize("dtype", ["<f8", ">i2", "?", "c16", "S3", "M8[s]"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 0, 3)])
def test_an_arrays_raw_bytes(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    buffer = Buffer.from_array_like(array)
    assert buffer.to_bytes() == array.tobytes()
    assert not array.size or np.shares_memory(buffer.as_array_like(), array)
    if dtype != "M8[s]":
        assert Buffer.from_bytes(array).to_bytes() == array.tobytes()


def test_what_has_no_contiguous_bytes_is_an_error() -> None:
    strided = np.arange(20, dtype=np.uint8)[::2]
    with pytest.raises(ValueError, match="contiguous"):
        Buffer.from_array_like(strided)
    with pytest.raises(ValueError, match="contiguous"):
        Buffer.from_bytes(strided)
    with pytest.raises(ValueError, match="contiguous"):
        Buffer.from_array_like(np.zeros((3, 4)).T)
    with pytest.raises(TypeError, match="object"):
        Buffer.from_array_like(np.array([None, "a"]))
    with pytest.raises(ValueError, match="uint8"):
        Buffer(np.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="from_bytes"):
        Buffer(b"abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Buffer.from_bytes("text")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "error"), [(0, TypeError), (slice(0, 4, 2), ValueError), ("a", TypeError)]
)
def test_a_buffer_is_only_sliced(index: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Buffer.from_bytes(b"abcd")[index]


def test_comparing_and_adding_other_things() -> None:
    buffer = Buffer.from_bytes(b"a")
    assert buffer != 1
    assert buffer != "a"
    with pytest.raises(TypeError):
        buffer + 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(buffer)


def test_the_repr_shows_no_content() -> None:
    assert repr(Buffer.from_bytes(b"secret")) == "<Buffer of 6 bytes>"


def test_a_subclass_stays_itself() -> None:
    class Mine(Buffer):
        pass

    mine = Mine.from_bytes(b"abc")
    assert type(mine[1:]) is Mine
    assert type(mine + b"d") is Mine


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python asks for __buffer__ from 3.12 on")
def test_memoryview_takes_a_buffer() -> None:
    assert bytes(memoryview(Buffer.from_bytes(b"abc"))) == b"abc"


def test_a_prototype_is_a_named_tuple() -> None:
    prototype = default_buffer_prototype()
    assert prototype == BufferPrototype(Buffer)
    assert prototype.buffer is Buffer
    assert prototype._fields == ("buffer",)


def test_foreign_buffers_are_viewed_and_copied_only_when_strided() -> None:
    class Foreign:
        def __init__(self, array: Any) -> None:
            self.array = array

        def as_numpy_array(self) -> Any:
            return self.array

    array = np.arange(10, dtype=np.uint8)
    assert bytes(as_view(Foreign(array))) == array.tobytes()
    assert np.shares_memory(np.frombuffer(as_view(Foreign(array)), np.uint8), array)
    assert bytes(as_view(Foreign(array[::3]))) == array[::3].tobytes()
    assert bytes(as_view(Foreign(np.arange(3, dtype="<u2")))) == b"\0\0\1\0\2\0"
    assert as_view(Foreign(array[:0])).nbytes == 0
    assert bytes(as_view(memoryview(b"abcdef")[::2])) == b"ace"
