"""Bodies that a thread receives or sends while the event loop of the request waits.

Decryption, checksums and copies of large bodies take most of the time of a read. OpenSSL and
sockets release the GIL, so that several threads do them at once, and the event loop stays free.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._runtime.forks import free_in_child
from ..._runtime.io_threads import next_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .channels import Channel
    from .sink import Sink

__all__ = ["Receiving", "Sending", "Transfer"]

#: Maximum size of one step: its checksum is computed while it is in the CPU's cache.
_STEP_BYTES = 256 * 2**10
#: Number of steps after which other transfers of the thread have their turn.
_STEPS = 16


class Transfer(ABC):
    """One body that a thread transfers.

    Parameters
    ----------
    threads : int
        Number of threads, one of which makes the transfer.
    on_end : callable
        Called on the running loop at the end, with an error or ``None``, unless the transfer is
        cancelled. The end of the stream is an ``EOFError``.

    Attributes
    ----------
    progressed_at : float
        Time of the last progress, by ``time.monotonic``.
    """

    def __init__(
        self, channel: Channel, threads: int, on_end: Callable[[Exception | None], object]
    ) -> None:
        self._channel = channel
        self._threads = threads
        self._on_end = on_end
        self._fd = channel.sock.fileno()
        # Held during each step. Reentrant: the garbage collector may cancel a transfer in its step.
        self._lock = free_in_child(threading.RLock())

    def start(self) -> None:
        """Start the transfer, or continue a `Sending` that was interrupted."""
        self.progressed_at = time.monotonic()
        self._is_cancelled = self._has_ended = False
        self._caller = asyncio.get_running_loop()
        self._loop = next_loop(self._threads)
        self._loop.call_soon_threadsafe(self._begin)

    def cancel(self) -> None:
        """End the transfer, and close the socket. No memory is accessed after this returns."""
        self._is_cancelled = True
        with self._lock:
            if self._has_ended:
                self._channel.sock.close()
            else:
                self._loop.call_soon_threadsafe(self._close)

    def _begin(self) -> None:
        if not self._is_cancelled:
            self._register()
            self._continue()

    def _continue(self) -> None:
        steps = 0
        # The selector reports the socket again, but not bytes that the channel has received.
        while steps < _STEPS or self._channel.has_input:
            steps += 1
            with self._lock:
                if self._is_cancelled:
                    return
                error = None
                try:
                    if not self._step():
                        continue
                except BlockingIOError:
                    return
                except Exception as raised:
                    # Otherwise the request would wait until its timeout.
                    error = raised
                self._unregister()
                self._has_ended = True
            # The caller's loop may be closed. Then it has closed its connections.
            with suppress(RuntimeError):
                self._caller.call_soon_threadsafe(self._end, error)
            # It refers to this frame, and so to the memory: a reference cycle.
            del error
            return

    def _end(self, error: Exception | None) -> None:
        if not self._is_cancelled:
            self._on_end(error)

    def _close(self) -> None:
        self._unregister()
        self._channel.sock.close()

    @abstractmethod
    def _register(self) -> None:
        """Watch the socket."""

    def _unregister(self) -> None:
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)

    @abstractmethod
    def _step(self) -> bool:
        """Transfer some bytes; return whether the transfer is at its end."""


class Receiving(Transfer):
    """Fills memory with the next bytes of a body.

    Parameters
    ----------
    first : bytes
        Bytes of the body that are already received.
    """

    def __init__(
        self,
        channel: Channel,
        threads: int,
        on_end: Callable[[Exception | None], object],
        sink: Sink,
        first: bytes = b"",
    ) -> None:
        super().__init__(channel, threads, on_end)
        self._sink = sink
        self._first = first

    def _register(self) -> None:
        self._loop.add_reader(self._fd, self._continue)

    def _unregister(self) -> None:
        super()._unregister()
        # The caller may release the memory at once, while this thread runs a little longer.
        self._sink.release()

    def _step(self) -> bool:
        if self._first:
            is_full = self._sink.copy(self._first)
            self._first = b""
        else:
            count = self._channel.receive(self._sink.room(_STEP_BYTES))
            if not count:
                raise EOFError
            is_full = self._sink.added(count)
        self.progressed_at = time.monotonic()
        return is_full


class Sending(Transfer):
    """Sends bytes, until the server sends some: it may reject the request before its end."""

    def __init__(
        self,
        channel: Channel,
        threads: int,
        on_end: Callable[[Exception | None], object],
        pieces: Sequence[memoryview],
    ) -> None:
        super().__init__(channel, threads, on_end)
        self._pieces = list(pieces)
        self._is_interrupted = False

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are sent."""
        return not self._pieces and not self._channel.has_output

    def _register(self) -> None:
        self._is_interrupted = False
        self._loop.add_writer(self._fd, self._continue)
        self._loop.add_reader(self._fd, self._interrupt)

    def _interrupt(self) -> None:
        self._is_interrupted = True
        self._continue()

    def _step(self) -> bool:
        if self._is_interrupted:
            return True
        if not self._pieces:
            self._channel.send(b"")
            return not self._channel.has_output
        piece = self._pieces[0]
        sent = self._channel.send(piece[:_STEP_BYTES])
        self.progressed_at = time.monotonic()
        if sent == len(piece):
            self._pieces.pop(0)
        else:
            self._pieces[0] = piece[sent:]
        return self.is_complete
