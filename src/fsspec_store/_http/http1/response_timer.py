"""The timer that fails a response which takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .deadline import Deadline
from .transfers import Receiving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from .socket_transport import SocketTransport

__all__ = ["ResponseTimer"]


class ResponseTimer:
    """Checks the deadline of the current response of a connection.

    Parameters
    ----------
    timeout : float
        See `Deadline`.
    observe : callable
        Returns the transport and the number of bytes of the body that are received; ``None`` when
        no response is expected.
    fail : callable
        Called with the error when the time is over.

    Attributes
    ----------
    deadline : Deadline
        Of the current response. The caller changes it when bytes are received or sent.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout: float,
        observe: Callable[[], tuple[SocketTransport | None, int] | None],
        fail: Callable[[TimeoutError], object],
    ) -> None:
        self.deadline = Deadline(0.0, 0.0, timeout)
        self._loop = loop
        self._timeout = timeout
        self._observe = observe
        self._fail = fail
        # Size of the transport's write buffer at the last check.
        self._unsent = 0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start to wait for bytes of a response."""
        now = self._loop.time()
        self.deadline = Deadline(now, now + self._timeout, self._timeout)
        self._unsent = 0
        # A running timer is reused, because setting one costs more than reading the clock.
        if self._handle is None:
            self._handle = self._loop.call_at(self.deadline.at, self._check)

    def stop(self) -> None:
        """Check no longer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        observed = self._observe()
        if observed is None:
            return
        transport, received = observed
        now = self._loop.time()
        unsent = 0 if transport is None else transport.get_write_buffer_size()
        if unsent < self._unsent:
            # The server still receives the request.
            self.deadline.restart(now)
        self._unsent = unsent
        transfer = None if transport is None else transport.transferring
        if isinstance(transfer, Receiving):
            self.deadline.at = transfer.progressed_at + self._timeout
        elif transfer is not None:
            self.deadline.restart(transfer.progressed_at)
        try:
            next_check = self.deadline.check(now, received)
        except TimeoutError as error:
            self._fail(error)
        else:
            self._handle = self._loop.call_at(next_check, self._check)
