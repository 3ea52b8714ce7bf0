"""Incremental decoders for HTTP content codings (RFC 9110, section 8.4), in bounded memory.

Does no I/O. gzip and deflate use Python's zlib; br and zstd need the same libraries as aiohttp.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Decoder", "decoders"]

#: Maximum number of bytes decoded at once: a short body may expand to any size.
_PIECE = 2**18
_BROTLI = ("brotlicffi", "brotli")
_ZSTD = ("compression.zstd", "backports.zstd")


class Decoder(ABC):
    """Decodes one content coding."""

    def __init__(self, coding: str, library: Any = None) -> None:
        self._coding = coding
        self._library = library
        #: The library's decompressor, made for the first bytes.
        self._stream: Any = None

    @abstractmethod
    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, at least one, and yield pieces, which may be empty."""

    def finish(self) -> None:
        """Raise ``aiohttp.ClientPayloadError`` if the encoded body is incomplete."""
        if self._stream is not None and not self._is_complete():
            raise self._corrupt()

    def _is_complete(self) -> bool:
        return bool(self._stream.eof)

    def _corrupt(self) -> aiohttp.ClientPayloadError:
        return aiohttp.ClientPayloadError(
            f"the {self._coding} response body is corrupt or incomplete"
        )


def decoders(codings: Sequence[str]) -> list[Decoder]:
    """Decoders in the order of use, which is the reverse of the header's order.

    Raises
    ------
    OSError
        When a coding is unknown or its library is not installed.
    """
    return [_decoder(coding) for coding in reversed(codings)]


def _decoder(coding: str) -> Decoder:
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Zlib(coding)
    for name in {"br": _BROTLI, "zstd": _ZSTD}.get(coding, ()):
        with suppress(ImportError):
            return (_Brotli if coding == "br" else _Zstd)(coding, import_module(name))
    install = {"br": ": pip install brotli", "zstd": ": pip install backports.zstd"}
    raise OSError(
        f"cannot decode the response: the server sent it with Content-Encoding {coding}"
        + install.get(coding, "")
    )


class _Zlib(Decoder):
    """gzip, which may have several members, or deflate, which has only one."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream is None:
                    self._stream = zlib.decompressobj(self._wbits(data[0]))
                elif self._stream.eof:
                    # Zero padding is not a member (RFC 1952, section 2.2, and gzip's manual).
                    data = data.lstrip(b"\0")
                    if not data or self._coding == "deflate":
                        return
                    self._stream = zlib.decompressobj(self._wbits(data[0]))
                piece = self._stream.decompress(data, _PIECE)
                yield piece
                data = self._stream.unused_data or self._stream.unconsumed_tail
                # All input is consumed, but output may still be buffered.
                while len(piece) == _PIECE and not data and not self._stream.eof:
                    piece = self._stream.decompress(b"", _PIECE)
                    yield piece
        except zlib.error:
            raise self._corrupt() from None

    def _wbits(self, first: int) -> int:
        if self._coding != "deflate":
            return 16 + zlib.MAX_WBITS
        # The zlib format, which some servers send without the zlib header.
        return zlib.MAX_WBITS if first & 0xF == 8 else -zlib.MAX_WBITS


class _Brotli(Decoder):
    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._stream = self._library.Decompressor()
        try:
            # Absent before Brotli 1.2.
            if not hasattr(self._stream, "can_accept_more_data"):
                for start in range(0, len(data), 256):
                    yield self._stream.process(data[start : start + 256])
                return
            yield self._stream.process(data, output_buffer_limit=_PIECE)
            while not self._stream.can_accept_more_data():
                yield self._stream.process(b"", output_buffer_limit=_PIECE)
        except self._library.error:
            raise self._corrupt() from None

    def _is_complete(self) -> bool:
        return bool(self._stream.is_finished())


class _Zstd(Decoder):
    """zstd, which may have several frames."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._stream is None or self._stream.eof:
                    self._stream = self._library.ZstdDecompressor()
                yield self._stream.decompress(data, _PIECE)
                while not self._stream.eof and not self._stream.needs_input:
                    yield self._stream.decompress(b"", _PIECE)
                data = self._stream.unused_data if self._stream.eof else b""
        except self._library.ZstdError:
            raise self._corrupt() from None
