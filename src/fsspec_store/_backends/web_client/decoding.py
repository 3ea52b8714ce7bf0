"""Incremental decoders for HTTP content codings (RFC 9110, section 8.4), in bounded memory.

Does no I/O. gzip and deflate use Python's zlib; br and zstd need the same libraries as aiohttp.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Decoder", "decoders"]

#: Maximum number of bytes decoded at once: a short body may expand to any size.
_PIECE = 2**18
_BROTLI = ("brotlicffi", "brotli")
_ZSTD = ("compression.zstd", "backports.zstd")


class Decoder(Protocol):
    """Decodes one content coding."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in pieces."""

    def finish(self) -> None:
        """Raise ``aiohttp.ClientPayloadError`` if the encoded body is incomplete."""


def decoders(codings: Sequence[str]) -> list[Decoder]:
    """Decoders in the order of use, which is the reverse of the header's order.

    Raises
    ------
    OSError
        When a coding is unknown or its library is not installed.
    """
    return [_decoder(coding) for coding in reversed(codings)]


def _decoder(coding: str) -> Decoder:
    if coding in ("gzip", "x-gzip"):
        return _Zlib(16 + zlib.MAX_WBITS)
    if coding == "deflate":
        return _Deflate()
    library = _library({"br": _BROTLI, "zstd": _ZSTD}.get(coding, ()))
    if library is None:
        install = {"br": ": pip install brotli", "zstd": ": pip install backports.zstd"}
        raise OSError(
            f"cannot decode the response: the server sent it with Content-Encoding {coding}"
            + install.get(coding, "")
        )
    return _Brotli(library) if coding == "br" else _Zstd(library)


def _library(names: Iterable[str]) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            pass
    return None


def _corrupt(coding: str) -> aiohttp.ClientPayloadError:
    return aiohttp.ClientPayloadError(f"the {coding} response body is corrupt or incomplete")


class _Zlib:
    """gzip, which may have several members, or deflate, which has only one."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._stream = zlib.decompressobj(wbits)
        self._has_begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream.eof:
                    # Zero padding is not a member (RFC 1952, section 2.2, and gzip's manual).
                    data = data.lstrip(b"\0")
                    if not data or self._wbits <= zlib.MAX_WBITS:
                        return
                    self._stream = zlib.decompressobj(self._wbits)
                self._has_begun = True
                piece = self._stream.decompress(data, _PIECE)
                if piece:
                    yield piece
                data = self._stream.unused_data or self._stream.unconsumed_tail
                # All input is consumed, but output may still be buffered.
                while len(piece) == _PIECE and not data and not self._stream.eof:
                    piece = self._stream.decompress(b"", _PIECE)
                    if piece:
                        yield piece
        except zlib.error:
            raise _corrupt("compressed") from None

    def finish(self) -> None:
        if self._has_begun and not self._stream.eof:
            raise _corrupt("compressed")


class _Deflate:
    """deflate: the zlib format, which some servers send without the zlib header."""

    def __init__(self) -> None:
        self._zlib: _Zlib | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._zlib is None and data:
            has_header = data[0] & 0xF == 8
            self._zlib = _Zlib(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        return iter(()) if self._zlib is None else self._zlib.decode(data)

    def finish(self) -> None:
        if self._zlib is not None:
            self._zlib.finish()


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._stream = library.Decompressor()
        # Since Brotli 1.2.
        self._is_bounded = hasattr(self._stream, "can_accept_more_data")
        self._has_begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        self._has_begun = self._has_begun or bool(data)
        try:
            if not self._is_bounded:
                for start in range(0, len(data), 256):
                    yield self._stream.process(data[start : start + 256])
                return
            yield self._stream.process(data, output_buffer_limit=_PIECE)
            while not self._stream.can_accept_more_data():
                yield self._stream.process(b"", output_buffer_limit=_PIECE)
        except self._library.error:
            raise _corrupt("br") from None

    def finish(self) -> None:
        if self._has_begun and not self._stream.is_finished():
            raise _corrupt("br")


class _Zstd:
    """zstd, which may have several frames."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._stream = library.ZstdDecompressor()
        self._has_begun = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream.eof:
                    self._stream = self._library.ZstdDecompressor()
                self._has_begun = True
                yield self._stream.decompress(data, _PIECE)
                while not self._stream.eof and not self._stream.needs_input:
                    yield self._stream.decompress(b"", _PIECE)
                data = self._stream.unused_data if self._stream.eof else b""
        except self._library.ZstdError:
            raise _corrupt("zstd") from None

    def finish(self) -> None:
        if self._has_begun and not self._stream.eof:
            raise _corrupt("zstd")
