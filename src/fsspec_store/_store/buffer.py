"""`Buffer`: a value as contiguous bytes, without copies unless requested.

Knows NumPy and Python's buffer protocol, and no stores, keys or ranges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Buffer as BytesLike  # type: ignore[attr-defined,unused-ignore]

    import numpy.typing as npt

    ByteArray = npt.NDArray[np.uint8]

__all__ = [
    "DEFAULT_PROTOTYPE",
    "Buffer",
    "BufferPrototype",
    "as_view",
    "check_prototype",
    "default_buffer_prototype",
]

_BYTE = np.dtype(np.uint8)


class Buffer:
    """A value: contiguous bytes held as a one-dimensional NumPy ``uint8`` view.

    Creating and slicing a buffer never copy. `to_bytes` and ``+`` do.

    Parameters
    ----------
    array : numpy.ndarray
        One-dimensional, C-contiguous, ``uint8``. Use `from_bytes`, `from_array_like` or
        `from_buffer` for anything else.
    """

    __slots__ = ("_data",)

    def __init__(self, array: ByteArray) -> None:
        try:
            # Strides show shape and contiguity in one comparison, except for less than two bytes.
            fits = array.strides == (1,) and array.dtype == _BYTE
        except AttributeError:
            raise TypeError(
                f"a Buffer holds a NumPy array, got {type(array).__name__}: use Buffer.from_bytes"
            ) from None
        if not fits and (array.ndim != 1 or array.dtype != _BYTE or not array.flags.c_contiguous):
            raise ValueError(
                "a Buffer holds one-dimensional contiguous uint8, got "
                f"dtype {array.dtype}, shape {array.shape}, strides {array.strides}"
            )
        self._data = array

    @classmethod
    def from_bytes(cls, bytes_like: BytesLike) -> Self:
        """Wrap any object with the buffer protocol, without copying.

        Parameters
        ----------
        bytes_like : bytes-like
            ``bytes``, ``bytearray``, ``memoryview``, ... in C order. Items may be wider than one
            byte: the buffer has their raw bytes.

        Returns
        -------
        Buffer
            A view of the same memory.

        Raises
        ------
        TypeError
            When the object has no buffer protocol.
        ValueError
            When its memory is not contiguous.
        """
        try:
            array = np.frombuffer(bytes_like, _BYTE)
        except (BufferError, ValueError) as error:
            raise ValueError(f"{type(bytes_like).__name__} is not contiguous in memory") from error
        return cls(array)

    @classmethod
    def from_array_like(cls, array_like: npt.ArrayLike) -> Self:
        """Wrap the raw bytes of an array, without copying.

        Parameters
        ----------
        array_like : array-like
            Any dtype without Python objects, any shape, C-contiguous.

        Returns
        -------
        Buffer
            A view of the same memory.

        Raises
        ------
        TypeError
            When the array holds Python objects.
        ValueError
            When the array is not C-contiguous. Copy it with ``numpy.ascontiguousarray`` first.
        """
        array = np.asanyarray(array_like)
        if array.dtype.hasobject:
            raise TypeError(f"an array of dtype {array.dtype} holds no bytes")
        if not array.flags.c_contiguous:
            raise ValueError(
                f"an array of shape {array.shape} and strides {array.strides} is not C-contiguous"
            )
        return cls(np.asarray(array).reshape(-1).view(np.uint8))

    @classmethod
    def from_buffer(cls, buffer: Any) -> Self:
        """Wrap the bytes of another buffer: this class, zarr-python's, or any bytes-like object.

        Parameters
        ----------
        buffer : Buffer or bytes-like
            An object with ``as_numpy_array()``, or with the buffer protocol.

        Returns
        -------
        Buffer
            A view of the same memory if it is contiguous, else of a copy.
        """
        return cls.from_bytes(as_view(buffer))

    def to_bytes(self) -> bytes:
        """A copy of the bytes."""
        return self._data.tobytes()

    def as_array_like(self) -> ByteArray:
        """The bytes as an array, shared, shape ``(len(self),)``."""
        return self._data

    def as_numpy_array(self) -> ByteArray:
        """The bytes as a NumPy ``uint8`` array, shared, shape ``(len(self),)``."""
        return self._data

    def as_buffer_like(self) -> memoryview:
        """The bytes as a ``memoryview`` of format ``B``, shared."""
        return self._data.data

    def __buffer__(self, flags: int) -> memoryview:
        # PEP 688. Python calls it from 3.12 on.
        return self._data.data

    def __bytes__(self) -> bytes:
        return self.to_bytes()

    def __len__(self) -> int:
        return int(self._data.shape[0])

    def __getitem__(self, index: slice) -> Self:
        if not isinstance(index, slice):
            raise TypeError(f"a Buffer supports slices, not indexes: got {index!r}")
        if index.step not in (None, 1):
            raise ValueError(
                f"a Buffer is contiguous: a slice step of {index.step} is not supported"
            )
        return type(self)(self._data[index])

    def __add__(self, other: Any) -> Self:
        try:
            tail = as_view(other)
        except TypeError:
            return NotImplemented
        joined = np.empty(len(self) + tail.nbytes, dtype=np.uint8)
        joined[: len(self)] = self._data
        joined[len(self) :] = np.frombuffer(tail, dtype=np.uint8) if tail.nbytes else 0
        return type(self)(joined)

    def __eq__(self, other: object) -> bool:
        try:
            view = as_view(other)
        except TypeError:
            return NotImplemented
        return self._data.data == view

    # The bytes may change through another view of the memory: buffers are not hashable.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} bytes>"


class BufferPrototype(NamedTuple):
    """The buffer class that a read returns.

    A store calls only ``prototype.buffer.from_bytes``, so zarr-python's prototypes work too.
    """

    buffer: type[Buffer]


DEFAULT_PROTOTYPE = BufferPrototype(buffer=Buffer)


def default_buffer_prototype() -> BufferPrototype:
    """The default prototype, with the NumPy-backed `Buffer`."""
    return DEFAULT_PROTOTYPE


def check_prototype(prototype: Any) -> None:  # numpydoc ignore=PR01
    """Raise ``TypeError`` for an object that is not a prototype."""
    if not hasattr(prototype, "buffer") or not hasattr(prototype.buffer, "from_bytes"):
        raise TypeError(
            f"prototype must be a BufferPrototype, got {type(prototype).__name__}; the bytes to "
            "read are given as byte_range=..."
        )


def as_view(value: Any) -> memoryview:  # numpydoc ignore=PR01
    """Any buffer as a one-dimensional ``memoryview`` of bytes. Copies only if not contiguous.

    Raises ``TypeError`` for an object that has neither ``as_numpy_array()`` (this package's
    buffers, zarr-python's) nor the buffer protocol.
    """
    to_array = getattr(value, "as_numpy_array", None)
    if callable(to_array):
        value = np.ascontiguousarray(to_array())
        if value.nbytes == 0:
            return memoryview(b"")
        flat: memoryview = value.reshape(-1).view(np.uint8).data
        return flat
    view = memoryview(value)
    if view.nbytes == 0:
        return memoryview(b"")
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
