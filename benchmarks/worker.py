"""One candidate in a separate process, which performs the requests that it receives by a pipe.

CPU and memory of the process are those of the candidate. Credentials are sent by the pipe, so that
no command line shows them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from benchmarks.candidates import CANDIDATES
from benchmarks.catalogue import OPERATIONS
from benchmarks.gil import gil_left
from benchmarks.measuring import Sample, drive, measured, seconds_of_this_loop
from benchmarks.operation import CHECKED_CALLS, Operation, plain

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.places import Place
    from benchmarks.scale import Scale
    from benchmarks.subjects import Subject

#: Timeout of a request in seconds, longer than every operation takes.
_SECONDS = 600.0

Reply = TypeVar("Reply")


@dataclass(frozen=True)
class Open:
    """Open the store of an operation at a place, and be connected."""

    operation: str
    place: Place


@dataclass(frozen=True)
class Check:
    """Call an operation and compare its results with the contents of the bucket."""

    operation: str
    place: Place


@dataclass(frozen=True)
class Checked:
    """All results were correct."""

    calls: int


@dataclass(frozen=True)
class Run:
    """Call an operation for a round, and measure it."""

    operation: str
    place: Place
    calls: int | None
    seconds: float
    at_once: int
    from_little: bool
    """See `benchmarks.measuring.measured`."""


@dataclass(frozen=True)
class LeaveGIL:
    """Call an operation for a round, and measure the share of the GIL that it leaves."""

    run: Run


@dataclass(frozen=True)
class Failed:
    """The request failed."""

    reason: str


class CandidateError(Exception):
    """A request failed, or a result was wrong."""


class Worker:
    """The process of one candidate, for the process that commands it."""

    def __init__(self, candidate: str, scale: Scale) -> None:
        self._candidate = candidate
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, candidate, scale), name=candidate, daemon=True
        )
        self._process.start()
        theirs.close()

    def open(self, operation: str, place: Place) -> None:
        """Open the store of an operation, and connect it."""
        self._send(Open(operation, place), bool)

    def check(self, operation: str, place: Place) -> Checked:
        """Call an operation; a `CandidateError` when a result is wrong."""
        return self._send(Check(operation, place), Checked)

    def run(self, request: Run) -> Sample:
        """Call an operation for a round."""
        return self._send(request, Sample)

    def gil_left(self, request: Run) -> float:
        """Call an operation for a round; the share of the GIL that it leaves to other threads."""
        return self._send(LeaveGIL(request), float)

    def _send(self, request: object, kind: type[Reply]) -> Reply:
        try:
            self._pipe.send(request)
            if not self._pipe.poll(_SECONDS):
                # A late reply must not be taken for the reply to another request.
                self._process.kill()
                raise CandidateError(f"{self._candidate} did not reply within {_SECONDS:g} s")
            reply = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise CandidateError(f"the process of {self._candidate} has ended") from error
        if isinstance(reply, Failed):
            raise CandidateError(reply.reason)
        assert isinstance(reply, kind)
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        # The process ends with the pipe, and is killed if it does not.
        self._pipe.close()
        self._process.join(timeout=5)
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, candidate: str, scale: Scale) -> None:
    asyncio.run(_Candidate(candidate, scale).serve(pipe))
    # The libraries' sessions are closed differently, and some log a warning for open ones.
    os._exit(0)


class _Candidate:
    """A candidate's stores, in its process."""

    def __init__(self, name: str, scale: Scale) -> None:
        self._open = CANDIDATES[name].open
        self._scale = scale
        self._subjects: dict[tuple[Place, bool], Subject] = {}

    async def serve(self, pipe: Connection) -> None:
        while True:
            try:
                # In a thread, so that the loop observes connections that a server closes meanwhile.
                request = await asyncio.to_thread(pipe.recv)
            except EOFError:
                return
            reply: object
            try:
                reply = await self._perform(request)
            except Exception as error:
                reply = Failed(_reason(error))
            pipe.send(reply)

    async def _perform(self, request: Open | Check | Run | LeaveGIL) -> object:
        of = request.run if isinstance(request, LeaveGIL) else request
        operation = OPERATIONS[of.operation]
        subject = await self._subject(operation, of.place)
        match request:
            case Open():
                return True
            case Check():
                return await self._check(operation, subject)
            case Run():
                clock = _seconds_of_zarr if operation.blocking else seconds_of_this_loop
                work = partial(self._drive, request, operation, subject)
                return await measured(work, clock, from_little=request.from_little)
            case LeaveGIL():
                work = partial(self._drive_on, request.run, operation, subject)
                return await gil_left(work, request.run.seconds)

    async def _drive(self, run: Run, operation: Operation, subject: Subject) -> int:
        call = partial(self._call, operation, subject)
        return await drive(call, calls=run.calls, seconds=run.seconds, at_once=run.at_once)

    async def _drive_on(self, run: Run, operation: Operation, subject: Subject) -> None:
        """Rounds for long enough to count beside them; one where it changes what it finds."""
        until = time.perf_counter() + run.seconds
        while True:
            await self._drive(run, operation, subject)
            if operation.effect or time.perf_counter() > until:
                return

    async def _check(self, operation: Operation, subject: Subject) -> Checked:
        if operation.method and not subject.supports(operation.method):
            raise CandidateError(f"this release has no {operation.method}")
        calls = operation.calls(self._scale) if operation.calls else CHECKED_CALLS
        results = [await self._call(operation, subject, turn) for turn in range(calls)]
        for turn, result in enumerate(results):
            if plain(result) != operation.expected(self._scale, turn):
                raise CandidateError("wrong result")
        return Checked(calls)

    async def _call(self, operation: Operation, subject: Subject, turn: int) -> Any:
        if operation.call is not None:
            result = await operation.call(subject, self._scale, turn)
            # The result of a write differs between the libraries.
            return None if operation.effect else result
        assert operation.blocking is not None
        return await asyncio.to_thread(operation.blocking, subject.store, self._scale, turn)

    async def _subject(self, operation: Operation, place: Place) -> Subject:
        """The store of an operation's root, one for this event loop and one for zarr's."""
        on_zarr = operation.blocking is not None
        at = place.below(operation.root)
        subject = self._subjects.get((at, on_zarr))
        if subject is None:
            subject = self._subjects[at, on_zarr] = self._open(at)
            # Connects, and sends the requests that a store sends once.
            await (asyncio.to_thread(_look, subject) if on_zarr else subject.get("missing"))
        return subject


def _look(subject: Subject) -> None:
    from zarr.core.sync import sync

    async def look() -> None:
        await subject.get("missing")

    sync(look())


async def _seconds_of_zarr() -> float:
    """CPU time of the thread of zarr's event loop."""
    from zarr.core.sync import sync

    return await asyncio.to_thread(lambda: sync(seconds_of_this_loop()))


def _reason(error: BaseException) -> str:
    """An error in one line; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, CandidateError):
        return str(error)
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line[:200]}"
