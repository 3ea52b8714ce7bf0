"""A pytest plugin: of a variant of a service, the fast suite runs a part of the rules.

A variant differs from its service by the transport alone: TLS, or the library's. ``fast_rules`` of
its class names the classes of rules that use the transport in different ways. Its other tests are
marked as slow.
"""

from __future__ import annotations

from typing import Any

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    cls: Any = getattr(item, "cls", None)
    fast = getattr(cls, "fast_rules", None)
    if fast is None:
        return
    name = getattr(item, "originalname", item.name)
    stated_in = next(base for base in cls.__mro__ if name in vars(base))
    if stated_in not in fast:
        item.add_marker(pytest.mark.slow)
