from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import order
import pytest
import variants


def test_every_file_of_the_order_exists() -> None:
    assert [name for name in order.LONGEST if not (order.TESTS / name).is_file()] == []
    assert len(set(order.LONGEST)) == len(order.LONGEST)


def test_the_longest_files_are_first_and_the_others_stay_in_their_order() -> None:
    paths = [order.TESTS / name for name in ("b.py", order.LONGEST[1], "a.py", order.LONGEST[0])]
    items: list[Any] = [SimpleNamespace(path=path) for path in paths]
    order.pytest_collection_modifyitems(items)
    assert [item.path for item in items] == [paths[3], paths[1], paths[0], paths[2]]


class Fast:
    def test_fast(self) -> None: ...

    def test_replaced(self) -> None: ...


class Further:
    def test_further(self) -> None: ...


class Service(Fast, Further):
    def test_replaced(self) -> None: ...


class Variant(Service):
    fast_rules = (Fast,)


@pytest.mark.parametrize(
    ("cls", "name", "is_slow"),
    [
        (Variant, "test_fast", False),
        (Variant, "test_further", True),
        (Variant, "test_replaced", True),
        (Service, "test_further", False),
        (None, "test_further", False),
    ],
)
def test_further_rules_of_a_variant_are_slow(cls: Any, name: str, is_slow: bool) -> None:
    marks: list[pytest.MarkDecorator] = []
    item: Any = SimpleNamespace(cls=cls, name=name, add_marker=marks.append)
    variants.pytest_itemcollected(item)
    assert marks == [pytest.mark.slow] * is_slow
