"""The page of failures elsewhere names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEFAULT = "test_what_fails_elsewhere.py"


def test_each_failure_has_its_test() -> None:
    page = (ROOT / "docs/failures-elsewhere.md").read_text()
    rows = [line.split(" | ")[-1] for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        module = DEFAULT
        names = re.findall(r"`(test_\w+(?:\.py)?)`", row)
        assert names, row
        for name in names:
            if name.endswith(".py"):
                module = name
            else:
                assert f"def {name}(" in (ROOT / "tests/transfer" / module).read_text(), name
