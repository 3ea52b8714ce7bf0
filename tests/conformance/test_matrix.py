"""The matrix of rules and services: what a test run becomes, and that the page is of this suite."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from conformance import StoreConformance
from conformance.matrix import OPTION, rules_of, service_of
from conformance.support import Rules

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

RULES = """
    import pytest
    from conformance.support import Limits, Rules, unless

    class BigRules(Rules):
        def test_nothing_is_lost(self, store):
            assert store != "lossy"

        @pytest.mark.parametrize("key", ["a", "a/b"])
        def test_keys_are_kept(self, store, key):
            unless(self.limits.key_beside_children if "/" in key else None)

        def test_names_may_be_long(self, store):
            unless(self.limits.long_names)
            unless(self.limits.backslash)
"""

SERVICES = """
    import pytest
    from big_rules import BigRules, Limits

    class Base(BigRules):
        @pytest.fixture
        def store(self):
            return type(self).__name__

    class TestGood(Base):
        pass

    class TestSmall(Base):
        service = "Tiny"
        limits = Limits(key_beside_children="one  thing\\n at a time", long_names="it is short")

        def test_of_its_own(self, store):
            pass

    class TestShort(Base):
        limits = Limits(long_names="it is short")
"""


# The rules here need no event loop, and that plugin would warn that it is not set up.
PLUGINS = ["-p", "conformance.matrix", "-p", "no:asyncio"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(big_rules=RULES, test_services=SERVICES)
    pytester.syspathinsert()
    return pytester


def run(project: pytest.Pytester, *args: str) -> pytest.RunResult:
    return project.runpytest(*PLUGINS, OPTION, "page.md", *args)


def tables(text: str) -> dict[str, list[str]]:
    """The cells of each rule, and of the heading ``rule``."""
    rows = re.findall(r"^\| ([^-].*) \|$", text, re.MULTILINE)
    return {first: rest for first, *rest in (re.split(r" *\| *", row.strip()) for row in rows)}


def page(project: pytest.Pytester) -> str:
    return (project.path / "page.md").read_text(encoding="utf-8")


def test_rules_are_met_met_in_part_or_cannot_be_met(project: pytest.Pytester) -> None:
    result = run(project)
    assert result.ret == pytest.ExitCode.OK
    text = page(project)
    assert tables(text) == {
        "rule": ["Good", "Tiny", "Short"],
        "nothing is lost": ["✓", "✓", "✓"],
        "keys are kept": ["✓", "✓¹", "✓"],
        "names may be long": ["✓", "–²", "–²"],  # noqa: RUF001
    }
    assert "## Big rules\n" in text
    assert text.endswith("1. Tiny: one thing at a time\n2. Tiny, Short: it is short\n")
    counts = "6 met, 1 met in part, 2 cannot be met, 0 failed, 0 missing."
    assert f"\n3 rules on 3 services: {counts}\n" in text
    assert text in result.stdout.str()


def test_the_same_run_writes_the_same_page(project: pytest.Pytester) -> None:
    run(project)
    first = page(project)
    run(project)
    assert page(project) == first


def test_a_broken_rule_is_reported_and_fails_the_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_broken="""
        import pytest
        from big_rules import BigRules, Limits

        class TestLossy(BigRules):
            @pytest.fixture
            def store(self):
                return "lossy"

        class TestDead(BigRules):
            @pytest.fixture
            def store(self):
                raise OSError

        class TestLeaky(BigRules):
            limits = Limits(key_beside_children="leaks")

            @pytest.fixture
            def store(self):
                yield
                raise OSError

        class TestHopeless(BigRules):
            @pytest.fixture
            def store(self, request):
                pytest.xfail("never")
        """
    )
    assert run(project, "test_broken.py").ret == pytest.ExitCode.TESTS_FAILED
    failed = ["FAILED"] * 3
    assert tables(page(project)) == {
        "rule": ["Lossy", "Dead", "Leaky", "Hopeless"],
        "nothing is lost": ["FAILED", *failed],
        "keys are kept": ["✓", *failed],
        "names may be long": ["✓", *failed],
    }
    assert "2 met, 0 met in part, 0 cannot be met, 10 failed, 0 missing." in page(project)


def test_what_was_not_tried_is_missing(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_absent="""
        import pytest
        from big_rules import BigRules, Rules

        class SmallRules(Rules):
            def test_of_a_few(self):
                pass

        class TestAbsent(BigRules):
            @pytest.fixture
            def store(self):
                pytest.skip("the server cannot: not installed")

        class TestOther(SmallRules, BigRules):
            test_keys_are_kept = None

            @pytest.fixture
            def store(self):
                pass

            def test_names_may_be_long(self):
                pass
        """
    )
    assert run(project, "test_absent.py").ret == pytest.ExitCode.OK
    assert tables(page(project)) == {
        "rule": ["Absent", "Other"],
        "nothing is lost": ["missing", "✓"],
        "keys are kept": ["missing", "missing"],
        "names may be long": ["missing", "missing"],
        "of a few": ["missing", "✓"],
    }


def test_a_case_that_was_deselected_is_missing(project: pytest.Pytester) -> None:
    assert run(project, "-k", "Good and not b]").ret == pytest.ExitCode.OK
    assert tables(page(project)) == {
        "rule": ["Good", "Tiny", "Short"],
        "nothing is lost": ["✓", "missing", "missing"],
        "keys are kept": ["missing"] * 3,
        "names may be long": ["✓", "missing", "missing"],
    }


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["test_services.py", "-k", "nonesuch"], pytest.ExitCode.NO_TESTS_COLLECTED),
        (["test_services.py", "--collect-only"], pytest.ExitCode.OK),
        (["no_such_file.py"], pytest.ExitCode.USAGE_ERROR),
        (["test_services.py", "test_stops.py"], pytest.ExitCode.INTERRUPTED),
    ],
)
def test_a_run_that_did_not_end_leaves_the_page_alone(
    project: pytest.Pytester, args: list[str], code: pytest.ExitCode
) -> None:
    project.makepyfile(test_stops="raise OSError")
    (project.path / "page.md").write_text("before")
    assert run(project, *args).ret == code
    assert page(project) == "before"


def test_a_page_that_cannot_be_written_is_refused_before_any_test(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLUGINS, OPTION, "nowhere/page.md")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--conformance-matrix: no such folder: *nowhere"])


def test_no_page_is_written_unless_requested(project: pytest.Pytester) -> None:
    result = project.runpytest(*PLUGINS, "test_services.py::TestGood")
    assert result.ret == pytest.ExitCode.OK
    assert "conformance matrix" not in result.stdout.str()
    assert not list(project.path.glob("*.md"))


# The page in the documentation is written by a run on every server, which takes minutes; when this
# fails, `make matrix` makes it right.
def test_the_documented_page_is_of_these_rules_and_services() -> None:
    heading, *rows = tables((ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")).items()
    assert [name for name, _ in rows] == [rule.sentence for rule in rules_of(StoreConformance)]
    tests = ROOT / "tests"
    modules = [
        import_module(".".join(path.relative_to(tests).with_suffix("").parts))
        for path in sorted((tests / "backends").rglob("test_*.py"))
    ]
    classes = [
        thing
        for module in modules
        for name, thing in vars(module).items()
        if name.startswith("Test") and isinstance(thing, type) and issubclass(thing, Rules)
    ]
    assert heading == ("rule", [service_of(cls) for cls in classes])
    assert {sign[0] for _, cells in rows for sign in cells} <= {"✓", "–"}  # noqa: RUF001
