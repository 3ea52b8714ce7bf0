"""The run: results checked and requests counted, then rounds in which candidates take turns.

Does not know what an operation does, nor how figures are shown.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.candidates import CANDIDATES, THIS
from benchmarks.catalogue import OPERATIONS
from benchmarks.cores import shares, starting_on
from benchmarks.keeper import Keeper, WrongEffectError
from benchmarks.results import Comparison, Figures
from benchmarks.scale import FULL, Scale
from benchmarks.worker import CandidateError, Run, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.operation import Operation
    from benchmarks.places import FaultProxy, Place

#: Seconds that one candidate's rounds of one operation may take before it skips the others.
_PATIENCE = 30.0

#: How long small operations warm up, in seconds, and no longer than a round.
_WARMING = 0.25

#: How long small operations run beside a thread that counts, in seconds: at most a round.
_COUNTING = 0.25


@dataclass(frozen=True)
class Settings:
    """What a run compares, and how long.

    Attributes
    ----------
    operations, candidates
        Names, in the order of the tables.
    latencies
        Milliseconds that the proxy adds to each response; 0 is without the proxy.
    rounds
        In each of which every candidate has its turn.
    seconds
        That a round of small operations lasts.
    at_once
        Concurrent small operations.
    scale
        How much there is to read, write and list.
    """

    operations: tuple[str, ...] = tuple(OPERATIONS)
    candidates: tuple[str, ...] = tuple(CANDIDATES)
    latencies: tuple[float, ...] = (0.0,)
    rounds: int = 5
    seconds: float = 0.5
    at_once: int = 32
    scale: Scale = FULL


def absent(place: Place, settings: Settings) -> dict[str, str]:
    """Which of the candidates cannot take part at a place, and why."""
    reasons = {name: CANDIDATES[name].why_not(place) for name in settings.candidates}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def compare(
    place: Place, settings: Settings, on_comparison: Callable[[Comparison], None] = lambda one: None
) -> list[Comparison]:
    """Compare the candidates at a place, a bucket that is the run's own.

    Parameters
    ----------
    place : Place
        On a server that runs.
    settings : Settings
        What to compare.
    on_comparison : callable
        Called with each comparison as soon as it is done.

    Returns
    -------
    list of Comparison
        One for each latency and operation.

    Raises
    ------
    CandidateError, WrongEffectError
        When the result of this package's store is wrong. Any other candidate is left out
        of the operation, and the comparison has the reason.
    """
    with ExitStack() as stack:
        proxy = stack.enter_context(place.proxy())
        keeper = stack.enter_context(Keeper(place, settings.scale))
        operations = [OPERATIONS[name] for name in settings.operations]
        keeper.fill(operations)
        run = _Run(place, settings, proxy, keeper)
        with run.running():
            checked = [run.checked(operation) for operation in operations]
        done = []
        for latency in settings.latencies:
            # New processes, because the address of a server is that of the process in s3dlio.
            with run.running():
                for operation, (requests, left_out) in zip(operations, checked, strict=True):
                    comparison = run.compared(operation, latency, requests, left_out)
                    done.append(comparison)
                    on_comparison(comparison)
        return done


@dataclass
class _Run:
    place: Place
    settings: Settings
    proxy: FaultProxy
    keeper: Keeper
    workers: dict[str, Worker] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The processes of the candidates run inside of the block."""
        missing = absent(self.place, self.settings)
        with ExitStack() as stack:
            with starting_on(shares()[1]):
                self.workers = {
                    name: stack.enter_context(Worker(name, self.settings.scale))
                    for name in self.settings.candidates
                    if name not in missing
                }
            yield

    def checked(self, operation: Operation) -> tuple[dict[str, float], dict[str, str]]:
        """Requests per call of the candidates with correct results, and why others are left out."""
        right: dict[str, float] = {}
        left_out: dict[str, str] = {}
        through = self.place.through(self.proxy.url)
        for name, worker in self.workers.items():
            if not CANDIDATES[name].takes_part(operation):
                continue
            reason = _unfit(operation, name, self.place)
            if reason is not None:
                left_out[name] = reason
                continue
            try:
                self.keeper.prepare(operation, for_check=True)
                worker.open(operation.name, through)
                with self.proxy.watching() as seen:
                    done = worker.check(operation.name, through)
                    requests = len(seen)
                self.keeper.look(operation)
            except (CandidateError, WrongEffectError) as error:
                self._leave_out(name, operation, error, left_out)
                continue
            right[name] = requests / done.calls
        return right, left_out

    def compared(
        self,
        operation: Operation,
        latency_ms: float,
        requests_per_call: Mapping[str, float],
        left_out: Mapping[str, str],
    ) -> Comparison:
        """The rounds of one operation at one latency."""
        settings = self.settings
        comparison = Comparison(
            operation.name,
            operation.title_at(settings.scale),
            operation.unit,
            latency_ms,
            left_out=dict(left_out),
        )
        amount = operation.amount(settings.scale)
        comparison.figures = {
            name: Figures(requests, amount) for name, requests in requests_per_call.items()
        }
        self.proxy.latency = latency_ms / 1000
        place = self.place.through(self.proxy.url) if latency_ms else self.place
        spent = dict.fromkeys(comparison.figures, 0.0)
        rounds = min(settings.rounds, operation.most_rounds or settings.rounds)
        # Round -1 warms up sessions and servers, and shows what memory it takes.
        for number in range(-1, rounds):
            warming = number < 0
            for name in _rotated(list(comparison.figures), number):
                if spent[name] > _PATIENCE:
                    continue
                figures = comparison.figures[name]
                request = self._request(operation, place, warming=warming)
                try:
                    self.keeper.prepare(operation)
                    sample = self.workers[name].run(request)
                except CandidateError as error:
                    self._leave_out(name, operation, error, comparison.left_out)
                    del comparison.figures[name]
                    continue
                if warming:
                    figures.warming = sample
                else:
                    spent[name] += sample.seconds
                    figures.samples.append(sample)
        for name in list(comparison.figures):
            comparison.figures[name].gil_left = self._gil_left(name, operation, place)
        self.proxy.latency = 0.0
        return comparison

    def _gil_left(self, name: str, operation: Operation, place: Place) -> float | None:
        """The figure of a separate round, whose rate is not counted."""
        request = self._request(operation, place, warming=False)
        request = replace(request, seconds=min(self.settings.seconds, _COUNTING))
        self.keeper.prepare(operation)
        try:
            return self.workers[name].gil_left(request)
        except CandidateError:
            return None

    def _request(self, operation: Operation, place: Place, *, warming: bool) -> Run:
        settings = self.settings
        return Run(
            operation.name,
            place,
            calls=operation.calls and operation.calls(settings.scale),
            seconds=min(settings.seconds, _WARMING) if warming else settings.seconds,
            at_once=operation.at_once or (1 if operation.blocking else settings.at_once),
            from_little=warming,
        )

    def _leave_out(
        self, name: str, operation: Operation, error: Exception, left_out: dict[str, str]
    ) -> None:
        if name == THIS:
            raise error
        left_out[name] = str(error)


def _unfit(operation: Operation, candidate: str, place: Place) -> str | None:
    """Why a candidate cannot perform an operation at a place; None if it can."""
    if operation.blocking is not None and not CANDIDATES[candidate].is_zarr_store:
        return "it is no store for zarr"
    if operation.writes_much and place.keeps_what_was_overwritten:
        return "the server keeps what was overwritten in a bounded memory"
    return None


def _rotated(names: list[str], number: int) -> list[str]:
    """The names, starting with another one in each round."""
    first = number % len(names) if names else 0
    return names[first:] + names[:first]
