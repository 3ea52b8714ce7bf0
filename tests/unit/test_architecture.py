"""The list of modules in the documentation, held against the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "fsspec_store"


def documented() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    return re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        if len(ast.parse(path.read_text()).body) == 1:
            # A folder's docstring.
            continue
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name != "__init__":
            found[name.removesuffix(".__init__")] = path
    return found


def imported(name: str, path: Path) -> set[str]:
    """The package's modules that a module imports when it is run, not for its types alone."""
    package = ["fsspec_store", *name.split(".")][: None if path.stem == "__init__" else -1]
    found = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in typing_only:
            base = package[1 : len(package) - node.level + 1]
            found |= {".".join([*base, *filter(None, [node.module])])}
            found |= {".".join([*base, alias.name]) for alias in node.names if not node.module}
    return found & set(modules())


def test_every_module_is_on_the_list_and_every_line_is_a_module() -> None:
    assert sorted(documented()) == sorted(modules())


def test_modules_import_only_from_below() -> None:
    order = documented()
    upwards = [
        f"{name} imports {other}"
        for name, path in modules().items()
        for other in imported(name, path)
        if order.index(other) <= order.index(name)
    ]
    assert upwards == []
    # The reading of imports itself: an empty answer would pass for any order.
    assert imported("store", PACKAGE / "store.py") >= {"contract", "backends", "keys", "ranges"}
    s3 = imported("backends.s3.backend", PACKAGE / "backends" / "s3" / "backend.py")
    assert s3 >= {"byte_requests", "backends.base", "backends.s3.answers"}
    calls = imported("backends.s3.calls", PACKAGE / "backends" / "s3" / "calls.py")
    assert calls >= {"sharing", "backends.s3.answers"}
