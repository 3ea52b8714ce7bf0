"""The commands that read, and rm, on folders: what they print."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from cli import stubborn
from cli.conftest import SIZES, Holding
from cli.running import run

#: The document of ``rm``.
STOPPED = {"not_tried": 0, "stopped_by": None}
DELETED = {"ok": True, "deleted": 0, "failed": 0, **STOPPED, "failures": []}


def test_ls_lists_names_of_one_level(data: Path) -> None:
    assert run("ls", data).out.splitlines() == ["air", "air-2", "zarr.json"]
    assert run("ls", data / "air").out.splitlines() == ["c", "zarr.json"]
    assert run("ls", f"file://{data}/air/").out.splitlines() == ["c", "zarr.json"]


def test_ls_shows_sizes_and_which_names_are_prefixes(data: Path) -> None:
    assert run("ls", "-l", data / "air").out == "-\tc/\n20B\tzarr.json\n"
    assert run("ls", "--bytes", data / "air/c/0").out == "2048\t0\n1024\t1\n"
    assert run("ls", "-l", data / "air/c/0").out == "2.0KiB\t0\n1.0KiB\t1\n"


def test_ls_lists_every_key(data: Path) -> None:
    assert sorted(run("ls", "-r", data).out.splitlines()) == sorted(SIZES)
    found = run("ls", "-r", "--json", data).documents
    assert {each["key"]: each["size"] for each in found} == SIZES


def test_ls_as_lines_of_json(data: Path) -> None:
    folder, key = run("ls", "--json", data / "air").documents
    nothing = {"size": None, "modified": None, "version": None, "checksums": {}}
    assert folder == {"name": "c", "is_prefix": True, **nothing}
    modified = datetime.fromisoformat(key.pop("modified"))
    assert abs(datetime.now(UTC) - modified) < timedelta(minutes=10)
    assert key == {
        "name": "zarr.json",
        "is_prefix": False,
        "size": 20,
        "version": None,
        "checksums": {},
    }


def test_ls_of_a_key_is_the_key(data: Path) -> None:
    assert run("ls", "-l", data / "zarr.json").out == "16B\tzarr.json\n"


def test_names_with_control_characters_are_escaped_and_exact_in_json(tmp_path: Path) -> None:
    name = "a\n\x1b[31mred"
    (tmp_path / name).write_bytes(b"")
    assert run("ls", tmp_path).out == "a\\n\\x1b[31mred\n"
    assert [each["name"] for each in run("ls", "--json", tmp_path).documents] == [name]


def test_tree_shows_levels_and_what_is_below_the_last_one(data: Path) -> None:
    assert run("tree", "--depth", "2", data).out.splitlines() == [
        f"{data} (5 keys, 3.1KiB)",
        "├── air/",
        "│   ├── c/ (2 keys, 3.0KiB)",
        "│   └── zarr.json",
        "├── air-2/",
        "│   └── zarr.json",
        "└── zarr.json",
    ]


def test_tree_as_one_document(data: Path) -> None:
    [found] = run("tree", "--depth", "1", "--json", data).documents
    assert found == {
        "name": str(data),
        "keys": 5,
        "bytes": sum(SIZES.values()),
        "children": [
            {"name": "air", "keys": 3, "bytes": 3092},
            {"name": "air-2", "keys": 1, "bytes": 30},
            {"name": "zarr.json", "keys": 1, "bytes": 16},
        ],
    }


def test_du_adds_up_each_child_and_all(data: Path) -> None:
    assert run("du", "--bytes", data).out.splitlines() == [
        "3092\t3\tair/",
        "30\t1\tair-2/",
        "16\t1\tzarr.json",
        "3138\t5\t.",
    ]
    assert run("du", "--depth", "0", data).out == "3.1KiB\t5\t.\n"
    assert "3.0KiB\t2\tair/c/\n" in run("du", "-d", "2", data).out


def test_du_as_one_document(data: Path) -> None:
    [found] = run("du", "--json", data).documents
    assert (found["keys"], found["bytes"]) == (5, 3138)
    assert [child["name"] for child in found["children"]] == ["air", "air-2", "zarr.json"]


def test_stat_shows_size_and_time(data: Path) -> None:
    [found] = run("stat", "--json", data / "zarr.json").documents
    modified = found.pop("modified")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(modified)) < timedelta(minutes=10)
    expected = {"key": "zarr.json", "url": str(data), "size": 16, "version": None, "checksums": {}}
    assert found == expected
    shown = run("stat", data / "zarr.json").out
    assert f"size\t16\nmodified\t{modified}\nversion\t-\n" in shown


def test_stat_on_a_web_server(web: Holding) -> None:
    # A GET of this value fails, so it is not read.
    [found] = run("stat", "--json", f"{web.url}/mixed/bad").documents
    assert (found["size"], found["version"]) == (1, '"1"')
    assert found["modified"] == "1994-11-06T08:49:37+00:00"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], bytes(range(20))),
        (["--range", "2:5"], b"\x02\x03\x04"),
        (["--range", "18:"], b"\x12\x13"),
        (["--range", ":2"], b"\x00\x01"),
        (["--range", "18:99"], b"\x12\x13"),
        (["--suffix", "2"], b"\x12\x13"),
        (["--suffix", "0"], b""),
    ],
)
def test_cat_writes_bytes(data: Path, arguments: list[str], expected: bytes) -> None:
    # Below 128, so that the text of the output is these bytes.
    assert run("cat", *arguments, data / "air/zarr.json").out.encode() == expected


def test_rm_deletes_one_key(data: Path) -> None:
    ended = run("rm", data / "air/zarr.json")
    assert (ended.code, ended.out, ended.err) == (0, "", "fsspec-store: deleted 1 key\n")
    assert not (data / "air/zarr.json").exists()
    assert run("rm", "-q", data / "zarr.json").err == ""
    assert sorted(run("ls", "-r", data).out.splitlines()) == [
        "air-2/zarr.json",
        "air/c/0/0",
        "air/c/0/1",
    ]


def test_rm_deletes_a_folder_and_not_its_neighbours(data: Path) -> None:
    ended = run("rm", "-r", "--yes", "--json", data / "air")
    assert (ended.code, ended.documents) == (0, [DELETED | {"deleted": 3}])
    assert sorted(path.name for path in data.iterdir()) == ["air-2", "zarr.json"]


def test_rm_deletes_selected_keys(data: Path) -> None:
    selected = ["-r", "--include", "c/**", "--exclude", "1", "--json", data / "air"]
    assert [each["key"] for each in run("rm", "-n", *selected).documents] == ["c/0/0"]
    assert run("rm", "--yes", *selected).documents == [DELETED | {"deleted": 1}]
    assert sorted(run("ls", "-r", data / "air").out.splitlines()) == ["c/0/1", "zarr.json"]
    assert run("rm", "--include", "c/**", data / "air").code == 2


@pytest.mark.parametrize("name", ["stat", "cat"])
def test_a_prefix_is_no_key(name: str, data: Path, web: Holding) -> None:
    ended = run(name, data / "air")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == f"fsspec-store: no key 'air' in file://{data}, but keys below it\n"
    assert "below it" not in run(name, data / "none").err
    assert "below it" not in run(name, f"{web.url}/missing/none").err


def test_rm_of_a_prefix_names_the_option(data: Path, web: Holding) -> None:
    ended = run("rm", data / "air")
    assert (ended.code, ended.err.endswith("but keys below it: -r deletes them\n")) == (3, True)
    assert "deletes them" not in run("rm", data / "none").err
    for folder in ("missing", "mixed"):
        missing = run("rm", "-n", f"{web.url}/{folder}/none")
        assert (missing.code, f"no key 'none' in {web.url}/{folder}" in missing.err) == (3, True)


def test_rm_removes_a_link_to_a_folder_and_no_file_there(data: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    (data / "air/link").symlink_to(outside)
    (tmp_path / "whole").symlink_to(data / "air-2")
    refused = run("rm", "-r", "--yes", "--include", "air/link/**", data)
    assert refused.code == 7
    assert "through the link 'air/link'" in refused.err
    assert run("rm", "-r", "--yes", "--max-delete", "1", data / "air").code == 7
    assert (data / "air/link").exists()
    for path in (data / "air", tmp_path / "whole"):
        assert run("rm", "-r", "--yes", path).code == 0
        assert not path.exists()
    assert (outside / "kept").read_bytes() == b"x"
    assert (data / "air-2/zarr.json").exists()


def test_a_dry_run_prints_the_keys_and_deletes_nothing(data: Path) -> None:
    ended = run("rm", "-r", "--dry-run", data / "air")
    assert ended.code == 0
    assert sorted(ended.out.splitlines()) == ["c/0/0", "c/0/1", "zarr.json"]
    assert ended.err == "fsspec-store: 3 keys, 3.0KiB, would be deleted\n"
    assert run("rm", "--dry-run", data / "zarr.json").out == "zarr.json\n"
    assert len(run("ls", "-r", data).out.splitlines()) == 5


@pytest.mark.parametrize(
    "arguments", [["-r"], ["-r", "--yes", "--max-delete", "2"], ["-rn", "--max-delete", "2"]]
)
def test_rm_refuses_and_deletes_nothing(data: Path, arguments: list[str]) -> None:
    ended = run("rm", *arguments, data / "air")
    assert ended.code == 7
    assert "--yes" in ended.err or "3 of 3 keys would be deleted, and at most 2 may" in ended.err
    assert len(run("ls", "-r", data).out.splitlines()) == 5


@pytest.mark.parametrize(("url", "code"), [("/", 7), ("file:///", 7), ("memory://", 7), (".", 2)])
def test_rm_refuses_the_root_of_a_machine(url: str, code: int) -> None:
    # Without a terminal, and as a dry run: a test must not be able to do it.
    assert "--yes" not in run("rm", "-r", url).err
    ended = run("rm", "-r", "--dry-run", url)
    assert (ended.code, ended.out) == (code, "")


def test_rm_reports_the_keys_that_cannot_be_deleted() -> None:
    files = stubborn.fill()
    ended = run("rm", "-r", "--yes", "--json", "stubborn://data")
    assert ended.code == 5
    assert ended.err.splitlines()[0].startswith("fsspec-store: cannot delete 'kept': access denied")
    assert ended.err.splitlines()[1] == "fsspec-store: deleted 2 keys, 1 failed"
    [found] = ended.documents
    assert [each.pop("key") for each in found.pop("failures")] == ["kept"]
    assert found == {"ok": False, "deleted": 2, "failed": 1, **STOPPED}
    assert files.exists("/data/kept")


def test_info_names_what_a_folder_can_do(data: Path) -> None:
    [found] = run("info", "--json", data).documents
    assert found["writes"] is found["atomic_create"] is found["compare_and_swap"] is True
    assert found["empty"] is False
    assert found["filesystem"] == "fsspec.implementations.local.LocalFileSystem"
    assert found["fsspec"] == fsspec.__version__
    assert f"fsspec\t{fsspec.__version__}\n" in run("info", data).out
    assert (found["versions"], found["lists_in_order"]) == ("digest of the value", True)
    assert found["longest_key"] == "255 bytes in a segment, 4,000 in a path"
    assert (found["service"], found["tls"], found["largest_request_bytes"]) == ("file", None, None)


def test_info_probes_and_leaves_nothing(data: Path) -> None:
    before = hashed(data)
    [found] = run("info", "--probe", "--json", data).documents
    assert found["atomic_create"] is found["compare_and_swap"] is found["lists_in_order"] is True
    assert hashed(data) == before
    assert sorted(path.name for path in data.iterdir()) == ["air", "air-2", "zarr.json"]


def test_bench_reads_what_is_there(data: Path) -> None:
    before = hashed(data)
    [found] = run("bench", "--json", data).documents
    assert [each["operation"] for each in found["figures"]] == ["list", "get"]
    assert {each["count"] for each in found["figures"]} == {5}
    assert all(each["per_second"] > 0 for each in found["figures"])
    assert hashed(data) == before


def test_bench_writes_to_no_web_server(web: Holding) -> None:
    ended = run("bench", "--write", f"{web.url}/x")
    assert (ended.code, ended.err) == (2, f"fsspec-store: '{web.url}/x' does not support writes\n")


def test_bench_removes_what_it_writes(data: Path) -> None:
    before = hashed(data)
    ended = run("bench", "--write", "--count", "7", "--size", "1000", data)
    assert [line.split("\t")[0] for line in ended.out.splitlines()] == ["7"] * 4
    assert [line.split("\t")[-1] for line in ended.out.splitlines()] == [
        "set",
        "get",
        "list",
        "delete",
    ]
    assert hashed(data) == before


def hashed(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
