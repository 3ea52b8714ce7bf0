"""What the end of a run says of the tests that were skipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from skips import lines

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]

TESTS = """
    import pytest

    @pytest.fixture
    def bucket():
        pytest.skip("MinIO is missing: not built; run: make minio")

    @pytest.mark.parametrize("key", range(3))
    def test_a_key(bucket, key):
        pass

    def test_a_page():
        pytest.skip("nginx is missing; run: make nginx")

    @pytest.mark.skip(reason="cannot: names\\n are short")
    def test_a_name():
        pass

    def test_that_runs():
        pass
"""


PLUGINS = ["-p", "skips", "-p", "no:asyncio"]


@pytest.mark.parametrize("args", [[], ["-n", "1"]], ids=["", "xdist"])
def test_each_reason_is_a_line_with_its_number(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    pytester.makepyfile(TESTS, test_module="import pytest; pytest.importorskip('nonesuch')")
    run = pytester.runpytest_subprocess if args else pytester.runpytest_inprocess
    done = run(*PLUGINS, *args)
    done.assert_outcomes(passed=1, skipped=6)
    end = done.outlines[next(i for i, line in enumerate(done.outlines) if "by reason" in line) :]
    assert re.fullmatch("=+ 6 skipped, by reason =+", end[0])
    assert [line for line in end[1:-1] if line] == [
        "     3  MinIO is missing: not built; run: make minio",
        "     1  cannot: names are short",
        "     1  could not import 'nonesuch': No module named 'nonesuch'",
        "     1  nginx is missing; run: make nginx",
        "     4  in all for want of a server; for all of them run: make servers",
    ]


def test_without_skips_nothing_is_printed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_that_runs(): pass")
    done = pytester.runpytest_inprocess(*PLUGINS)
    done.assert_outcomes(passed=1)
    assert "by reason" not in done.stdout.str()


def test_one_server_alone_needs_no_command_for_all() -> None:
    assert list(lines(["MinIO is missing; run: make minio"] * 1200)) == [
        " 1,200  MinIO is missing; run: make minio"
    ]


def test_a_missing_server_names_a_make_target() -> None:
    """Where no Python package brings the server along."""
    makefile = (ROOT / "Makefile").read_text()
    for server in ("minio", "azurite", "nginx", "chromium"):
        assert f'; run: make {server}"' in (ROOT / f"tests/servers/{server}.py").read_text()
        assert re.search(rf"^{server}:", makefile, re.MULTILINE)
        assert re.search(rf"^servers:.*\b{server}\b", makefile, re.MULTILINE)
