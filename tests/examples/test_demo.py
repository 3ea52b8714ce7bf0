from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import array_reader
import pytest

SCRIPT = Path(array_reader.__file__).with_name("demo.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder, SCRIPT)


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_succeeds_without_a_word_of_warning(demo: subprocess.CompletedProcess[str]) -> None:
    assert (demo.returncode, demo.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "store         ZarrStore('s3://demo-bucket/climate.zarr')",
        "children      gzipped latitude sharded zarr.json",
        "keys          25",
        "all shards    12,442,640 bytes",
        "gzipped       zarr and array_reader agree, mean 24.78 C",
        "sharded       zarr and array_reader agree, mean 24.78 C",
        "created once  owner.txt holds 'first', not 'second'",
        "refused       store was opened in read-only mode and does not support writing",
        "complete",
        "missing chunk: gzipped/c/1/0/1",
        "INCOMPLETE",
    ],
)
def test_prints(demo: subprocess.CompletedProcess[str], line: str) -> None:
    assert line in demo.stdout.splitlines()


def test_is_short_and_ends_well(demo: subprocess.CompletedProcess[str]) -> None:
    lines = demo.stdout.splitlines()
    assert len(lines) <= 35
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "Everything read is what was written."


def test_leaves_nothing_behind(demo: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert demo.returncode == 0
    assert list(folder.iterdir()) == []


def test_fails_on_a_mismatch(folder: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import demo
demo.FIRST_SHARD = "sharded/c/1/0/0"
demo.main()
"""
    done = run(folder, "-c", program)
    assert (done.returncode, done.stderr) == (1, "MISMATCH: the shard's first bytes\n")
