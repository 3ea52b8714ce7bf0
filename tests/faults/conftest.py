"""Parameters of the rules that the protocol of a service states."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "no_bulk" in metafunc.fixturenames:
        answers = metafunc.cls.protocol.no_bulk
        ids = [f"{answer.status} {answer.body[:12]!r}" for answer in answers]
        metafunc.parametrize("no_bulk", answers, ids=ids)
