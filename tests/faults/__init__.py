"""Every rule of a store whose service fails, stated once and run on every service.

A test class inherits `ReadFaultConformance`, or `FaultConformance` if a store can write to the
service, and a class of `proxied`. Its `Protocol` states how the service expresses errors.
"""

import pytest

pytest.register_assert_rewrite(
    "faults.continuing",
    "faults.credentials",
    "faults.deleting",
    "faults.reading",
    "faults.streams",
    "faults.unexpected",
    "faults.writing",
)

from .continuing import ContinuingRules  # noqa: E402
from .credentials import CredentialRules, Rotating  # noqa: E402
from .deleting import DeletingRules  # noqa: E402
from .protocol import Protocol  # noqa: E402
from .reading import LargeReadingRules, ReadingRules  # noqa: E402
from .streams import StreamReadingRules, StreamWritingRules  # noqa: E402
from .unexpected import UnexpectedResponseRules  # noqa: E402
from .writing import PartsRules, ReplacingRules, WritingRules  # noqa: E402

__all__ = [
    "CredentialRules",
    "FaultConformance",
    "LargeReadingRules",
    "PartsRules",
    "Protocol",
    "ReadFaultConformance",
    "ReadingRules",
    "Rotating",
    "WriteFaultConformance",
    "WritingRules",
]


class ReadFaultConformance(ReadingRules, LargeReadingRules, StreamReadingRules):
    """Every rule of a service that is only read."""


class WriteFaultConformance(ReadingRules, WritingRules):
    """Every rule of a service without versions, compare-and-swap and bulk deletes."""


class FaultConformance(
    WriteFaultConformance,
    LargeReadingRules,
    PartsRules,
    StreamReadingRules,
    StreamWritingRules,
    ContinuingRules,
    ReplacingRules,
    DeletingRules,
    UnexpectedResponseRules,
):
    """Every rule of a service; `CredentialRules` are further ones, of credentials that expire."""
