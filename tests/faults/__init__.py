"""Every rule of a store whose service fails, stated once and run on every service.

A test class inherits `ReadFaultConformance`, or `FaultConformance` if a store can write to the
service, and a class of `proxied`. Its `Protocol` states how the service expresses errors.
"""

import pytest

pytest.register_assert_rewrite("faults.deleting", "faults.reading", "faults.writing")

from .deleting import DeletingRules  # noqa: E402
from .protocol import Protocol  # noqa: E402
from .reading import ReadingRules  # noqa: E402
from .writing import WritingRules  # noqa: E402

__all__ = ["FaultConformance", "Protocol", "ReadFaultConformance"]


class ReadFaultConformance(ReadingRules):
    """Every rule of a service that is only read."""


class FaultConformance(ReadingRules, WritingRules, DeletingRules):
    """Every rule."""
