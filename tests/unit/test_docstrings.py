"""Public functions and methods say what they take and give, or where that is said."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import fsspec_store
import fsspec_store._store.sync
import fsspec_store.contract
import fsspec_store.errors
import fsspec_store.zarr

_SECTION = re.compile(
    r"^(\w[\w ]*)\n-{3,}\n(.*?)(?=^\w[\w ]*\n-{3,}\n|\Z)", re.DOTALL | re.MULTILINE
)
_NAMES = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : .*)?$", re.MULTILINE)


MODULES = (
    fsspec_store,
    fsspec_store._store.sync,
    fsspec_store.contract,
    fsspec_store.errors,
    fsspec_store.zarr,
)


def functions() -> Iterator[tuple[str, Any, str]]:
    """Name, what has the signature, and docstring, an inherited one among it."""
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield name, found, found.__doc__ or ""
            elif inspect.isclass(found):
                # Nobody makes an error or a protocol; what their attributes are is said there.
                made = not issubclass(found, Exception) and not getattr(
                    found, "_is_protocol", False
                )
                if made and inspect.isfunction(vars(found).get("__init__")):
                    yield name, found, found.__doc__ or ""
                for attribute in own_attributes(found):
                    member = getattr(found, attribute)
                    if not attribute.startswith("_") and inspect.isroutine(member):
                        yield f"{name}.{attribute}", member, inspect.getdoc(member) or ""


def own_attributes(cls: type) -> list[str]:
    """Attributes that classes of this package define, the bases among them."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("fsspec_store.")]
    return sorted({name for base in own for name in vars(base)})


FUNCTIONS = list(functions())


def sections(docstring: str) -> dict[str, str]:
    return dict(_SECTION.findall(inspect.cleandoc(docstring) + "\n"))


@pytest.mark.parametrize(
    ("function", "docstring"),
    [each[1:] for each in FUNCTIONS],
    ids=[name for name, *_ in FUNCTIONS],
)
def test_a_docstring_says_what_is_taken_and_given(function: Any, docstring: str) -> None:
    assert docstring
    if re.search(r"\b(see|as of|as) `", docstring, re.IGNORECASE):
        # It is said there.
        return
    said, signature = sections(docstring), inspect.signature(function)
    documented = {
        name.lstrip("*")
        for names in _NAMES.findall(said.get("Parameters", said.get("Attributes", "")))
        for name in names.split(", ")
    }
    assert documented == signature.parameters.keys() - {"self"}
    gives = {"None", "str", "bytes"}
    if not inspect.isclass(function) and signature.return_annotation not in gives:
        one_line = "\n" not in docstring.strip()
        assert one_line or said.keys() & {"Returns", "Yields"}


PUBLIC = [
    fsspec_store.Buffer,
    fsspec_store.FsspecStore,
    fsspec_store.Store,
    fsspec_store.StorePath,
    fsspec_store._store.sync.SyncStore,
    fsspec_store.zarr.ZarrStore,
]


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_a_tooltip_can_show_the_first_line_alone(cls: type) -> None:
    for name in dir(cls):
        if not name.startswith("_"):
            docstring = inspect.getdoc(getattr(cls, name)) or ""
            summary, _, rest = docstring.partition("\n")
            assert re.fullmatch(r"[A-Z].+\.", summary), name
            assert not re.match(r"(See|As) `", summary), name
            assert "; see `" not in summary, name
            assert rest == "" or rest.startswith("\n"), name


# jedi, which completes in notebooks, fails on a whole object if it has a property of such a type.
@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_no_property_is_of_a_literal_type(cls: type) -> None:
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property):
            assert "Literal" not in str(inspect.signature(member.fget).return_annotation), name


def test_the_functions_are_found() -> None:
    names = {name for name, *_ in FUNCTIONS}
    assert names >= {"FsspecStore", "FsspecStore.list_sizes", "Store.get", "SyncStore.get"}
