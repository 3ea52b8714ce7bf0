"""One candidate in a process of its own, that does what it is told through a pipe and nothing else.

A process of its own makes CPU and memory the candidate's alone. Everything it is told, credentials
too, comes through the pipe, so no command line shows them. Does not know that there are others.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
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

#: Longer than anything takes here, and an end to waiting for something that hangs.
_SECONDS = 600.0

Reply = TypeVar("Reply")


@dataclass(frozen=True)
class Open:
    """Open the store of an operation at a place, and be connected."""

    operation: str
    place: Place


@dataclass(frozen=True)
class Check:
    """Call an operation and compare its answers with what is in the bucket."""

    operation: str
    place: Place


@dataclass(frozen=True)
class Checked:
    """All answers were right."""

    calls: int


@dataclass(frozen=True)
class Run:
    """Call an operation for a round, and say what it cost."""

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
    """It could not be done."""

    reason: str


class CandidateError(Exception):
    """A candidate could not do what it was told, or answered wrongly."""


class Worker:
    """The process of one candidate, from the side of whoever commands it."""

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
        self._ask(Open(operation, place), bool)

    def check(self, operation: str, place: Place) -> Checked:
        """Call an operation; a `CandidateError` when an answer is wrong."""
        return self._ask(Check(operation, place), Checked)

    def run(self, request: Run) -> Sample:
        """Call an operation for a round."""
        return self._ask(request, Sample)

    def gil_left(self, request: Run) -> float:
        """Call an operation for a round; the share of the GIL that it leaves to other threads."""
        return self._ask(LeaveGIL(request), float)

    def _ask(self, request: object, kind: type[Reply]) -> Reply:
        try:
            self._pipe.send(request)
            if not self._pipe.poll(_SECONDS):
                # Its answer, should it come, would be taken for that to another request.
                self._process.kill()
                raise CandidateError(f"{self._candidate} did not answer within {_SECONDS:g} s")
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
        # The end of the pipe is the end of the process; one that hangs is not waited for.
        self._pipe.close()
        self._process.join(timeout=5)
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, candidate: str, scale: Scale) -> None:
    asyncio.run(_Candidate(candidate, scale).serve(pipe))
    # There is no common way to close the libraries' sessions, and some complain of open ones.
    os._exit(0)


class _Candidate:
    """The other side: a candidate's stores, and what is done with them."""

    def __init__(self, name: str, scale: Scale) -> None:
        self._open = CANDIDATES[name].open
        self._scale = scale
        self._subjects: dict[tuple[Place, bool], Subject] = {}

    async def serve(self, pipe: Connection) -> None:
        while True:
            try:
                # On a thread, so that the loop sees connections that a server closes meanwhile.
                request = await asyncio.to_thread(pipe.recv)
            except EOFError:
                return
            reply: object
            try:
                reply = await self._answer(request)
            except Exception as error:
                reply = Failed(_reason(error))
            pipe.send(reply)

    async def _answer(self, request: Open | Check | Run | LeaveGIL) -> object:
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
                return await gil_left(partial(self._drive, request.run, operation, subject))

    async def _drive(self, run: Run, operation: Operation, subject: Subject) -> int:
        call = partial(self._call, operation, subject)
        return await drive(call, calls=run.calls, seconds=run.seconds, at_once=run.at_once)

    async def _check(self, operation: Operation, subject: Subject) -> Checked:
        if operation.method and not subject.supports(operation.method):
            raise CandidateError(f"this release has no {operation.method}")
        calls = operation.calls(self._scale) if operation.calls else CHECKED_CALLS
        answers = [await self._call(operation, subject, turn) for turn in range(calls)]
        for turn, answer in enumerate(answers):
            if plain(answer) != operation.expected(self._scale, turn):
                raise CandidateError("wrong answer")
        return Checked(calls)

    async def _call(self, operation: Operation, subject: Subject, turn: int) -> Any:
        if operation.call is not None:
            answer = await operation.call(subject, self._scale, turn)
            # What writing answers is each library's own.
            return None if operation.effect else answer
        assert operation.blocking is not None
        return await asyncio.to_thread(operation.blocking, subject.store, self._scale, turn)

    async def _subject(self, operation: Operation, place: Place) -> Subject:
        """The store of an operation's root; on zarr's own event loop another than on this one."""
        on_zarr = operation.blocking is not None
        at = place.below(operation.root)
        subject = self._subjects.get((at, on_zarr))
        if subject is None:
            subject = self._subjects[at, on_zarr] = self._open(at)
            # What a store asks once is asked here: connections, and whether there is a bucket.
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
