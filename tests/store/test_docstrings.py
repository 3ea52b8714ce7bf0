"""What numpydoc's validation does not check of the public classes."""

from __future__ import annotations

import inspect
import re

import pytest

import fsspec_store
import fsspec_store._store.sync
import fsspec_store._store.sync_streams
import fsspec_store.contract
import fsspec_store.zarr

PUBLIC = [
    fsspec_store.Buffer,
    fsspec_store.FsspecStore,
    fsspec_store.Store,
    fsspec_store.StorePath,
    fsspec_store._store.sync.SyncStore,
    fsspec_store._store.sync_streams.SyncReader,
    fsspec_store._store.sync_streams.SyncWriter,
    fsspec_store.contract.Reader,
    fsspec_store.contract.Writer,
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
