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

from zarr_flavour import held, test_zarrs_own_rules
from zarr_flavour.conftest import LISTED, why_refused
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
    # Python gives every class some of its own.
    return {name for name in defined & vars(StoreTests).keys() if not name.startswith("__")}


#: What zarr leaves to whoever runs its tests.
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
        theirs = getattr(getattr(StoreTests, name), "pytestmark", [])
        assert getattr(getattr(cls, name), "pytestmark", []) == theirs, name
    assert not getattr(cls, "pytestmark", [])


def test_the_sequences_are_zarrs_own() -> None:
    for name in ("ZarrStoreStateMachine", "ZarrHierarchyStateMachine"):
        assert vars(test_zarrs_own_rules)[name] is getattr(zarr.testing.stateful, name)


def test_the_page_says_on_what_zarr_would_skip() -> None:
    source = inspect.getsource(zarr.testing.store)
    reasons = set(re.findall(r'pytest\.skip\("([^"]+)"\)', source))
    assert reasons
    assert source.count("pytest.skip(") == len(re.findall(r'pytest\.skip\("', source))
    for reason in reasons:
        assert f"| `{reason}` |" in PAGE, reason


def test_the_page_says_where_keys_are_spelled() -> None:
    """Every service is in the table, with the store that each kind of sequence is given."""
    table = PAGE.partition("### Where a sequence")[2].partition("\n##")[0]
    rows = dict(re.findall(r"^\| (\w+) \| ([^|]+ \| [^|]+) \|", table, re.MULTILINE))
    for service, cls in suites().items():
        shown = [
            "as they are" if held_as is plain else f"`{held_as.__name__}`"
            for held_as, plain in (
                (cls.keys_held, OwnRules.keys_held),
                (cls.groups_held, OwnRules.groups_held),
            )
        ]
        assert rows[service].split(" | ") == shown, service


def test_a_skip_that_is_not_listed_is_a_failure() -> None:
    here, server = [Path(__file__)], [Path(__file__), Path(fixtures.__file__)]
    assert why_refused(True, "store does not support deletes", here)
    assert why_refused(False, "because", here)
    assert why_refused(True, "MinIO is not installed", server) is None
    assert LISTED
    for reason in LISTED:
        assert why_refused(False, reason, here) is None
        assert why_refused(True, reason, here)


def test_what_takes_a_key_is_spelled() -> None:
    """Or a sequence would ask for a name that it never wrote."""
    takes_keys = {"key", "prefix", "requests", "values", "key_ranges"}
    names = {
        name
        for base in (zarr.abc.store.Store, zarr.storage.WrapperStore)
        for name, member in vars(base).items()
        if inspect.isfunction(member) and takes_keys & inspect.signature(member).parameters.keys()
    }
    # zarr 3.1's own, all of them by way of `get`; zarr 3.0's, which zarr itself never calls.
    by_way_of_get = {"_get_bytes", "_get_bytes_sync", "_get_json", "_get_json_sync"}
    assert {"get", "list_dir", "delete_dir"} <= names
    assert names - by_way_of_get - vars(held.Spelled).keys() == set()
