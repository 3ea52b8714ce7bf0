"""Where the page about new backends runs: a copy of this checkout, as a branch would be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pages.reader import ROOT

from .place import Place


def prepare(request: pytest.FixtureRequest) -> Place:
    work: Path = request.getfixturevalue("tmp_path") / "home" / "work"
    parts = " ".join(f"'{ROOT / part}'" for part in ("src", "tests", "docs", "pyproject.toml"))
    return Place(
        # In place of the checkout that is installed.
        environment={"PYTHONPATH": os.pathsep.join([f"{work}/src", str(work)])},
        words={"git switch -c sqlite-backend": f"cp -a {parts} ."},
    )
