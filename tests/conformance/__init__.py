"""The store contract as tests: every rule stated once, run by every backend.

A test module subclasses `StoreConformance` and gives it one fixture, ``make_store``: a factory of
stores with the parameters of `MakeStore`. The attribute `limits` names what a service cannot do,
each with a reason; those tests are skipped with it.
"""

from .copying import CopyRules
from .creating import CreatingRules
from .deleting import DeletingRules
from .entries import EntryRules
from .keys import KeyRules
from .lifecycle import LifecycleRules
from .listing import ListingRules
from .many import ManyRules
from .partial_writes import PartialWriteRules
from .ranges import RangeRules
from .reading import ReadingRules
from .streams import StreamReadingRules, StreamWritingRules
from .support import Limits, MakeStore
from .versions import VersionRules
from .writing import WritingRules

__all__ = ["TRANSPORT_RULES", "Limits", "MakeStore", "StoreConformance"]

#: The rules that use a transport in different ways: a value, a part, a condition, a page, an error.
TRANSPORT_RULES = (ReadingRules, RangeRules, WritingRules, CreatingRules, VersionRules)
TRANSPORT_RULES += (DeletingRules, ListingRules)


class StoreConformance(
    ReadingRules,
    RangeRules,
    ManyRules,
    WritingRules,
    CreatingRules,
    CopyRules,
    PartialWriteRules,
    VersionRules,
    DeletingRules,
    ListingRules,
    EntryRules,
    KeyRules,
    LifecycleRules,
    StreamReadingRules,
    StreamWritingRules,
):
    """Every rule of the contract."""
