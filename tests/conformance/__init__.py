"""The store contract as tests: every rule stated once, run by every backend.

A test module makes a class of `StoreConformance` and gives it one fixture, ``make_store``: a
function that returns a new, unopened store on the test's own empty place each time it is called,
with the constructor options it is given. What a service cannot do is said in `limits`, with the
reason; those tests are skipped with it.
"""

from .creating import CreatingRules
from .deleting import DeletingRules
from .keys import KeyRules
from .lifecycle import LifecycleRules
from .listing import ListingRules
from .many import ManyRules
from .partial_writes import PartialWriteRules
from .ranges import RangeRules
from .reading import ReadingRules
from .support import Limits
from .versions import VersionRules
from .writing import WritingRules

__all__ = ["Limits", "StoreConformance"]


class StoreConformance(
    ReadingRules,
    RangeRules,
    ManyRules,
    WritingRules,
    CreatingRules,
    PartialWriteRules,
    VersionRules,
    DeletingRules,
    ListingRules,
    KeyRules,
    LifecycleRules,
):
    """Every rule of the contract."""
