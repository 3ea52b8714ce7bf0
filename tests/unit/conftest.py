"""What the tests of single modules need before they begin."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def others_left_nothing() -> None:
    """Ends what other modules' tests left behind, before these watch their event loops.

    Garbage may be collected at any time, and a filesystem that goes with it (s3fs's, gcsfs's) ends
    its sessions by a task on whatever loop runs then, where that task fails.
    """
    gc.collect()
