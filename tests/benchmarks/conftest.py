"""The benchmarks are a package of the repository's root, which need not be where Python looks."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# At the end, and still found: the folder of these tests has their name but is no package.
sys.path.append(str(ROOT))
