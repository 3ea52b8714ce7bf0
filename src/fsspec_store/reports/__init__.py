"""Reports that a person or a CI system reads: pages of HTML, and JUnit XML.

The pages are single files without scripts, fonts or pictures from elsewhere.
"""

from __future__ import annotations

from .check_page import check_page
from .failed_page import failed_page
from .junit import failed_junit, junit
from .transfer_page import transfer_page

__all__ = ["check_page", "failed_junit", "failed_page", "junit", "transfer_page"]
