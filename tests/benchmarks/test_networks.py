"""The scripts that measure slow responses, services far away, and transfers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("slow_responses", "--chunks 80 --late 0.05 --seconds 0.2 --rounds 1", "hedge=True"),
        (
            "far_away",
            "--milliseconds 5 --seconds 0.1 --at-once 2 --concurrency 100",
            "limit   0.10 s",
        ),
        ("transfers", "--rounds 1 --values 20 --large 1", "fsspec rsync   down"),
    ],
)
def test_a_script_prints_its_table(script: str, arguments: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *arguments.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
