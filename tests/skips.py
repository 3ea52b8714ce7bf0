"""The end of a run: how many tests were skipped for each reason, a line for each.

Knows pytest. Does not know the reasons; one that a server is missing names the command for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

_INSTALLS = "; run: make "


def lines(reasons: Iterable[str]) -> Iterator[str]:
    """The most frequent reason first, and one command for all servers that are missing."""
    counted = Counter(" ".join(reason.split()) for reason in reasons)
    missing = {reason for reason in counted if _INSTALLS in reason}
    for reason, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:6,}  {reason}"
    if len(missing) > 1:
        total = sum(counted[reason] for reason in missing)
        yield f"{total:6,}  in all for want of a server; for all of them run: make servers"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped):,} skipped, by reason")
    for line in lines(_reason(report) for report in skipped):
        terminalreporter.line(line)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A skip is told as file, line and reason.
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return reason.removeprefix("Skipped: ")
