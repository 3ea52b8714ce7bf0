"""A pytest plugin: which service meets which rule, as one page of Markdown tables.

Knows how rules are found in a conformance class, what a test's outcome means for its rule, and what
the page looks like. Does not know any rule, service or server.

``pytest -m "" --conformance-matrix PAGE tests/backends`` writes the page and prints it; without the
option the plugin does nothing. A column is headed by the name of its test class without ``Test``,
or by the class's ``service``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import pytest

from .support import Rules

OPTION = "--conformance-matrix"

PREAMBLE = """\
# Rules of the contract, by service

Made by `make matrix`, which runs the conformance suite: change the tests, not this page.
Every rule of the store's contract is stated once, in `tests/conformance`, and run on every service.
[limits.md](limits.md) describes what a service cannot do.
"""

LEGEND = """\
- \N{CHECK MARK} met
- \N{CHECK MARK}\N{SUPERSCRIPT ONE} met, except for cases that the service cannot store: reason 1
- \N{EN DASH}\N{SUPERSCRIPT ONE} cannot be met: reason 1
- FAILED broken
- missing not run
"""


@dataclass(frozen=True)
class Rule:
    """A test function of a mixin; all cases of a parametrised one are one rule."""

    mixin: type
    name: str

    @property
    def group(self) -> str:
        return self.mixin.__module__.rpartition(".")[2].replace("_", " ").capitalize()

    @property
    def sentence(self) -> str:
        return self.name.removeprefix("test_").replace("_", " ")

    def is_run_by(self, cls: type) -> bool:
        """Whether `cls` runs this very function, not one of its own under the same name."""
        return getattr(cls, self.name, None) is vars(self.mixin)[self.name]


def rules_of(cls: type) -> list[Rule]:
    """The rules a conformance class inherits, in the order they are stated."""
    return [
        Rule(mixin, name)
        for mixin in cls.__mro__
        if Rules in mixin.__bases__
        for name in vars(mixin)
        if name.startswith("test_")
    ]


def service_of(cls: type) -> str:
    # Its own word only: a class made from another service's is not that service.
    return str(vars(cls).get("service", cls.__name__.removeprefix("Test")))


class Outcome(Enum):
    PASSED = "passed"
    CANNOT = "cannot"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True)
class Case:
    """How one test ended, and for `Outcome.CANNOT` why."""

    outcome: Outcome
    reason: str = ""


MISSING = Case(Outcome.MISSING)


def case_of(report: pytest.TestReport) -> Case | None:
    """The outcome of a case after one phase of its test; ``None``: not known yet."""
    # An expected failure is a rule that is not met; only `Limits` may state that it cannot be.
    if report.failed or (report.skipped and hasattr(report, "wasxfail")):
        return Case(Outcome.FAILED)
    if report.skipped:
        _, _, message = cast("tuple[str, int, str]", report.longrepr)
        before, cannot, reason = message.removeprefix("Skipped: ").partition("cannot: ")
        return Case(Outcome.CANNOT, " ".join(reason.split())) if cannot and not before else MISSING
    return Case(Outcome.PASSED) if report.when == "call" else None


class Mark(Enum):
    """The outcome of a rule on a service; the value is its name in the counts of the page."""

    MET = "met"
    PARTLY = "met in part"
    CANNOT = "cannot be met"
    FAILED = "failed"
    MISSING = "missing"


SIGNS = {
    Mark.MET: "\N{CHECK MARK}",
    Mark.PARTLY: "\N{CHECK MARK}",
    Mark.CANNOT: "\N{EN DASH}",
    Mark.FAILED: "FAILED",
    Mark.MISSING: "missing",
}


@dataclass(frozen=True)
class Cell:
    mark: Mark
    reasons: tuple[str, ...] = ()


def cell_of(cases: Sequence[Case]) -> Cell:
    """All cases of a rule as one cell; the worst of them decides."""
    outcomes = {case.outcome for case in cases}
    if Outcome.FAILED in outcomes:
        return Cell(Mark.FAILED)
    if Outcome.MISSING in outcomes or not outcomes:
        return Cell(Mark.MISSING)
    mark = Mark.MET
    if Outcome.CANNOT in outcomes:
        mark = Mark.PARTLY if Outcome.PASSED in outcomes else Mark.CANNOT
    return Cell(mark, tuple(dict.fromkeys(case.reason for case in cases if case.reason)))


def page(columns: Sequence[tuple[str, Mapping[Rule, Cell]]], rules: Iterable[Rule]) -> str:
    """The whole page: counts, a table for each group of rules, the reasons.

    Parameters
    ----------
    columns : sequence of tuple
        The name of each service and its cells; a rule without a cell is missing.
    rules : iterable of Rule
        The rows, those of a group one after another.
    """
    services = [service for service, _ in columns]
    rows = [(rule, [cells.get(rule, Cell(Mark.MISSING)) for _, cells in columns]) for rule in rules]
    counts = Counter(cell.mark for _, cells in rows for cell in cells)
    # The services of each reason, both in the order in which the tables have them.
    reasons: dict[str, dict[str, None]] = {}
    for _, cells in rows:
        for service, cell in zip(services, cells, strict=True):
            for reason in cell.reasons:
                reasons.setdefault(reason, {})[service] = None
    numbers = {reason: str(number) for number, reason in enumerate(reasons, 1)}
    lines = [
        PREAMBLE,
        f"{len(rows)} rules on {len(services)} services: "
        + ", ".join(f"{counts[mark]} {mark.value}" for mark in Mark)
        + ".\n",
        LEGEND,
    ]
    texts = [[rule.sentence, *(_text(cell, numbers) for cell in cells)] for rule, cells in rows]
    head = ["rule", *services]
    # The same widths in all tables, so that they line up where they are read as text.
    widths = [max(3, *map(len, column)) for column in zip(head, *texts, strict=True)]
    dashes = ["-" * widths[0], *(f":{'-' * (width - 2)}:" for width in widths[1:])]
    for group, members in groupby(zip(rows, texts, strict=True), lambda row: row[0][0].group):
        table = [head, dashes, *(text for _, text in members)]
        lines += [f"## {group}\n", *(_line(texts, widths) for texts in table), ""]
    if reasons:
        lines += ["## Reasons\n"]
        lines += [
            f"{numbers[reason]}. {', '.join(reasons[reason])}: {reason}" for reason in reasons
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (text.ljust(width) for text, width in zip(texts, widths, strict=True))
    centred = (text.strip().center(len(text)) for text in rest)
    return f"| {' | '.join([first, *centred])} |"


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _text(cell: Cell, numbers: dict[str, str]) -> str:
    # A space between numbers: superscripts have no comma.
    notes = " ".join(numbers[reason].translate(_SUPERSCRIPT) for reason in cell.reasons)
    return SIGNS[cell.mark] + notes


class MatrixPlugin:
    """Follows one test run and writes the page at its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[type, dict[Rule, list[str]]] = {}
        self.ended: dict[str, Case] = {}
        self.page = ""

    # Before anything is deselected: a case that was not run is missing, not met.
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        cls: Any = getattr(item, "cls", None)
        if cls is None or not issubclass(cls, Rules):
            return
        column = self.columns.setdefault(cls, {})
        for rule in rules_of(cls):
            if rule.name == getattr(item, "originalname", None) and rule.is_run_by(cls):
                column.setdefault(rule, []).append(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = case_of(report)
        # What failed once stays failed, whatever the outcome of its teardown is.
        if case and self.ended.get(report.nodeid) != Case(Outcome.FAILED):
            self.ended[report.nodeid] = case

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        # An interrupted run has no result for the rules that it did not reach.
        finished = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        rules = dict.fromkeys(rule for cls in self.columns for rule in rules_of(cls))
        if finished and rules:
            columns = [(service_of(cls), self._cells(cls)) for cls in self.columns]
            self.page = page(columns, rules)
            self.path.write_text(self.page, encoding="utf-8")

    def _cells(self, cls: type) -> dict[Rule, Cell]:
        return {
            rule: cell_of([self.ended.get(nodeid, MISSING) for nodeid in nodeids])
            for rule, nodeids in self.columns[cls].items()
        }

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("conformance matrix")
        terminalreporter.write_line(
            self.page or f"{self.path} was not written: no conformance test ran to its end"
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION, metavar="PAGE", help="write the table of rules and services to this Markdown file"
    )


def pytest_configure(config: pytest.Config) -> None:
    page_path = config.getoption(OPTION)
    if page_path is None or config.option.collectonly:
        return
    path = config.invocation_params.dir / page_path
    # Now, and not after minutes of tests.
    if not path.parent.is_dir():
        raise pytest.UsageError(f"{OPTION}: no such folder: {path.parent}")
    config.pluginmanager.register(MatrixPlugin(path))
