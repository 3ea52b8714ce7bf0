"""How many requests each operation takes, counted by a proxy before real servers.

The rules are stated once, in `rules`; a test module runs them on one kind of service, and says what
its protocol allows no better, and why.
"""

import pytest

pytest.register_assert_rewrite(
    "request_counts.copying", "request_counts.counting", "request_counts.rules"
)
