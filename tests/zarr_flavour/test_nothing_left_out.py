"""zarr's own tests run unchanged, as docs/zarr.md states."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import zarr
import zarr.testing.stateful
import zarr.testing.store
from pages.reader import ROOT
from servers import fixtures
from zarr.testing.store import StoreTests

from zarr_flavour import renamed_keys, test_zarrs_own_rules
from zarr_flavour.conftest import LISTED, why_failed
from zarr_flavour.test_zarrs_own_rules import OwnRules

PAGE = (ROOT / "docs" / "zarr.md").read_text()


def suites() -> dict[str, type[OwnRules]]:
    """The classes that pytest runs, by the names of their services."""
    members = vars(test_zarrs_own_rules)
    return {name.removeprefix("Test"): members[name] for name in members if name[:4] == "Test"}


def overridden(cls: type) -> set[str]:
    """Names of zarr's that the project's own classes define again."""
    own = [base for base in cls.__mro__ if base.__module__ == test_zarrs_own_rules.__name__]
    defined = {name for base in own for name in vars(base)}
    # Python defines some in every class.
    return {name for name in defined & vars(StoreTests).keys() if not name.startswith("__")}


#: What a user of zarr's tests must define.
LEFT_OPEN = {
    name
    for name, member in vars(StoreTests).items()
    if getattr(member, "__isabstractmethod__", False)
}


def test_the_suites_run_on_every_service() -> None:
    names = {"Memory", "Local", "SeaweedFS", "MinIO", "FakeGCS", "Azurite"}
    assert suites().keys() == names
    assert all(issubclass(cls, StoreTests) for cls in suites().values())


@pytest.mark.parametrize("service", suites())
def test_only_what_zarr_leaves_open_is_filled_in_and_all_of_it(service: str) -> None:
    assert {"set", "get", "store_kwargs", "test_store_repr"} <= LEFT_OPEN
    assert overridden(suites()[service]) == LEFT_OPEN


@pytest.mark.parametrize("service", suites())
def test_no_test_of_zarrs_is_marked(service: str) -> None:
    cls = suites()[service]
    names = [name for name in dir(StoreTests) if name.startswith("test_")]
    assert len(names) > 30
    for name in names:
        of_zarr = getattr(getattr(StoreTests, name), "pytestmark", [])
        assert getattr(getattr(cls, name), "pytestmark", []) == of_zarr, name
    assert not getattr(cls, "pytestmark", [])


def test_the_sequences_are_zarrs_own() -> None:
    for name in ("ZarrStoreStateMachine", "ZarrHierarchyStateMachine"):
        assert vars(test_zarrs_own_rules)[name] is getattr(zarr.testing.stateful, name)


def test_the_page_has_every_reason_for_which_zarr_skips() -> None:
    source = inspect.getsource(zarr.testing.store)
    reasons = set(re.findall(r'pytest\.skip\("([^"]+)"\)', source))
    assert reasons
    assert source.count("pytest.skip(") == len(re.findall(r'pytest\.skip\("', source))
    for reason in reasons:
        assert f"| `{reason}` |" in PAGE, reason


def test_the_page_states_where_keys_are_renamed() -> None:
    """Every service is in the table, with the store of each kind of sequence."""
    table = PAGE.partition("### Sequences with other key names")[2].partition("\n##")[0]
    rows = dict(re.findall(r"^\| (\w+) \| ([^|]+ \| [^|]+) \|", table, re.MULTILINE))
    for service, cls in suites().items():
        shown = [
            "unchanged" if wrapper is plain else f"`{wrapper.__name__}`"
            for wrapper, plain in (
                (cls.store_for_keys, OwnRules.store_for_keys),
                (cls.store_for_groups, OwnRules.store_for_groups),
            )
        ]
        assert rows[service].split(" | ") == shown, service


def test_a_skip_that_is_not_listed_is_a_failure() -> None:
    here, server = [Path(__file__)], [Path(__file__), Path(fixtures.__file__)]
    assert why_failed(True, "store does not support deletes", here)
    assert why_failed(False, "because", here)
    assert why_failed(True, "MinIO is not installed", server) is None
    assert LISTED
    for reason in LISTED:
        assert why_failed(False, reason, here) is None
        assert why_failed(True, reason, here)


def test_every_method_with_a_key_renames_it() -> None:
    """Otherwise a sequence would read another key than it wrote."""
    takes_keys = {"key", "prefix", "requests", "values", "key_ranges"}
    names = {
        name
        for base in (zarr.abc.store.Store, zarr.storage.WrapperStore)
        for name, member in vars(base).items()
        if inspect.isfunction(member) and takes_keys & inspect.signature(member).parameters.keys()
    }
    # Methods of zarr 3.1 that call `get`.
    by_get = {"_get_bytes", "_get_bytes_sync", "_get_json", "_get_json_sync"}
    assert {"get", "list_dir", "delete_dir"} <= names
    assert names - by_get - vars(renamed_keys.RenamedKeys).keys() == set()
