"""The commands that copy, compare and check: what they print and change, and their exit codes."""

from __future__ import annotations

import io
import json
import re
import threading
from contextlib import redirect_stderr
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import zarr

from cli.conftest import SIZES, Holding
from cli.running import Processes, run
from fsspec_store.cli.exit_codes import ExitCode
from fsspec_store.cli.output import Output
from fsspec_store.cli.progress import ShownProgress
from fsspec_store.cli.transferring import report
from fsspec_store.errors import AccessDeniedError
from fsspec_store.transfer import Result
from fsspec_store.zarr import open_store


def files(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_cp_copies_what_differs(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    first = run("cp", data, target)
    assert (first.code, first.out) == (0, "")
    assert f"{len(SIZES)} copied (3.1KiB), 0 equal" in first.err
    (data / "air/c/0/0").write_bytes(b"x" * 2048)
    (target / "extra").write_bytes(b"kept")
    assert run("cp", "-n", data, target).out == "copy\tbytes\tair/c/0/0\n"
    again = run("cp", "-r", "--json", data, target)
    found = again.documents[0]
    assert (found["copied"], found["equal"], found["ok"]) == (1, len(SIZES) - 1, True)
    assert files(target) == {**files(data), "extra": b"kept"}


def test_cp_of_one_key(data: Path, tmp_path: Path) -> None:
    assert run("cp", data / "zarr.json", f"{tmp_path}/one/").code == 0
    assert run("cp", data / "zarr.json", tmp_path / "one/renamed").code == 0
    assert set(files(tmp_path / "one")) == {"zarr.json", "renamed"}
    missing = run("cp", data / "nothing", tmp_path / "one")
    assert (missing.code, missing.err.count("\n")) == (3, 1)


def test_cp_of_one_key_has_the_document_of_folders(data: Path, tmp_path: Path) -> None:
    [one] = run("cp", "--json", data / "zarr.json", tmp_path / "one/renamed").documents
    [several] = run("cp", "--json", data, tmp_path / "several").documents
    assert one.keys() == several.keys()
    assert (one["ok"], one["copied"], one["copied_bytes"]) == (True, 1, 16)


@pytest.mark.parametrize(
    "options", [["--include", "x"], ["--exclude", "x"], ["--atomic"], ["--compare", "size"]]
)
def test_options_of_folders_are_refused_for_one_key(
    options: list[str], data: Path, tmp_path: Path
) -> None:
    ended = run("cp", *options, data / "zarr.json", tmp_path / "one/")
    assert (ended.code, options[0] in ended.err) == (2, True)
    assert not (tmp_path / "one").exists()


def test_a_dry_run_of_one_key_looks_at_the_target(data: Path, web: Holding) -> None:
    options = ["--dst-option", "key=k", "--dst-option", "secret=s", "--dst-endpoint-url", web.url]
    ended = run("cp", "-n", *options, data / "zarr.json", "s3://denied/x")
    assert (ended.code, ended.out) == (4, "")


def test_cp_of_selected_keys(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert run("cp", "--include", "air/**", "--exclude", "zarr.json", data, target).code == 0
    assert set(files(target)) == {"air/c/0/0", "air/c/0/1"}


@pytest.mark.parametrize("command", [("sync",), ("rm", "-r", "--yes")])
@pytest.mark.parametrize("pattern", ["[z-a]", ""])
def test_an_invalid_glob_is_wrong_usage(
    command: tuple[str, ...], pattern: str, data: Path, tmp_path: Path
) -> None:
    places = (data, tmp_path / "copy") if command == ("sync",) else (data,)
    for option in ("--include", "--exclude"):
        found = run(*command, option, pattern, *places)
        assert found.code == 2
        assert option in found.err
        expected = "invalid pattern" if pattern else f"{option[2:]} must not have an empty pattern"
        assert expected in found.err
    assert len(files(data)) == len(SIZES)


def test_sync_deletes_and_refuses_to_delete_too_much(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    run("cp", data, target)
    for key in ("air/c/0/0", "air/c/0/1", "air/zarr.json"):
        (data / key).unlink()
    refused = run("sync", data, target)
    assert refused.code == 7
    assert "3 of 5 keys would be deleted, and at most 50% of them" in refused.err
    assert len(files(target)) == len(SIZES)
    shown = run("sync", "-n", data, target)
    assert (shown.code, shown.out.count("delete\textra\t")) == (7, 3)
    totals, reason = shown.err.splitlines()
    assert totals == "fsspec-store: 0 to copy (0B), 3 to delete, 2 equal"
    assert f"{reason}\n" == refused.err
    done = run("sync", "--max-delete", "3", "--json", data, target)
    assert (done.code, done.documents[0]["deleted"]) == (0, 3)
    assert files(target) == files(data)


@pytest.mark.parametrize(
    ("line", "code", "totals"),
    [
        ("sync {data} {new}", 0, "5 to copy (3.1KiB), 0 to delete, 0 equal"),
        ("cp {data} {new}", 0, "5 to copy (3.1KiB), 0 to delete, 0 equal"),
        ("cp {data} {copy}", 0, "0 to copy (0B), 0 to delete, 5 equal"),
        ("cp {data}/zarr.json {new}/x", 0, "1 to copy (16B)"),
        ("cp --atomic {data} {copy}", 7, ""),
        ("sync {none} {copy}", 7, ""),
        ("rm {data}/zarr.json", 0, "1 key, 16B, would be deleted"),
        ("rm -r {data}", 0, "5 keys, 3.1KiB, would be deleted"),
        ("rm -r --max-delete 4 {data}", 7, "5 keys, 3.1KiB, would be deleted"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_dry_run_ends_as_the_run_and_shows_totals(
    line: str, code: int, totals: str, flags: list[str], data: Path, tmp_path: Path
) -> None:
    places = {name: tmp_path / name for name in ("new", "copy", "none")}
    run("cp", data, places["copy"])
    words = line.format(data=data, **places).split()
    shown = run(*words, "-n", *flags)
    assert shown.code == code
    messages = shown.err.removeprefix("fsspec-store: ").split("\nfsspec-store: ")
    assert not totals or messages[0].strip() == totals
    assert len(messages) == bool(totals) + bool(code)
    assert not places["new"].exists()
    if flags:
        assert [each for each in shown.documents if "key" not in each] == [
            {"error": "refused", "exit_code": 7, "message": messages[-1].strip()}
        ] * bool(code)
    yes = ["--yes"] if words[0] == "rm" and "-r" in words else []
    assert run(*words, *yes).code == code


def test_keys_only_in_the_target_are_counted(data: Path, tmp_path: Path) -> None:
    target, file = tmp_path / "copy", tmp_path / "plan"
    run("cp", data, target)
    (target / "extra").write_bytes(b"")
    for line, hint in (
        (("cp", data, target), "`sync` deletes such keys"),
        (("plan", data, target, file), "--delete plans to delete such keys"),
    ):
        ended = run(*line)
        assert ended.code == 0
        assert ended.err.endswith(f"fsspec-store: 1 key is only in DST: {hint}\n")
    for line in (("cp", data, target), ("plan", data, target, file)):
        assert run(*line, "--json").documents[0]["extra"] == 1
    assert "only in DST" not in run("plan", "--delete", data, target, file).err


def test_sync_of_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    assert run("sync", tmp_path / "mistyped", data).code == 7
    assert len(files(data)) == len(SIZES)
    emptied = run("sync", "--allow-empty", "--max-delete", "100%", tmp_path / "mistyped", data)
    assert (emptied.code, files(data)) == (0, {})


@pytest.mark.parametrize("bound", ["x", "-1", "101%", "1.5"])
def test_an_invalid_bound_of_deletes_is_wrong_usage(bound: str, data: Path, tmp_path: Path) -> None:
    found = run("sync", f"--max-delete={bound}", data, tmp_path / "copy")
    assert found.code == 2
    assert "--max-delete" in found.err


def test_verify_prints_what_differs(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    run("cp", data, target)
    assert run("verify", data, target).code == 0
    (target / "zarr.json").unlink()
    (target / "extra").write_bytes(b"")
    found = run("verify", data, target)
    assert found.code == 1
    assert sorted(found.out.splitlines()) == ["copy\tmissing\tzarr.json", "delete\textra\textra"]
    assert run("verify", "--ignore-extra", "--json", data, target).documents[0]["differing"] == 1


def test_a_plan_is_applied_later_where_nothing_has_changed(data: Path, tmp_path: Path) -> None:
    target, file = tmp_path / "copy", tmp_path / "plan.jsonl"
    planned = run("plan", "--json", data, target, file)
    nothing = dict.fromkeys(("deletes", "equal", "extra", "failed", "left_out"), 0)
    assert planned.documents == [{"copies": 5, "copy_bytes": 3138, **nothing}]
    assert files(target) == {}
    assert run("plan", data, target, "/dev/null").code == 0
    (data / "air/c/0/1").write_bytes(b"changed")
    found = run("apply", data, target, file)
    assert found.code == 5
    assert "cannot copy 'air/c/0/1': 'air/c/0/1' in" in found.err
    assert "has changed since the plan was made" in found.err
    # The metadata of the array and of the group above it.
    assert "2 metadata keys not copied" in found.err
    assert set(files(target)) == {"air/c/0/0", "air-2/zarr.json"}
    file.write_text("{}")
    assert run("apply", data, target, file).code == 2


@pytest.mark.parametrize("file", ["none/plan", "."])
def test_a_file_of_a_plan_is_checked_before_the_comparison(
    file: str, web: Holding, tmp_path: Path
) -> None:
    # A listing of /held gets no response.
    ended = run("plan", f"{web.url}/held/", tmp_path, tmp_path / file)
    assert ended.code == 2
    assert f"cannot write {tmp_path / file}" in ended.err


def test_a_transfer_that_an_error_stopped_states_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = AccessDeniedError("FsspecStore('s3://b') is denied")
    assert report(Result(copied=2, stopped_by=error), Output(json=True)) == ExitCode.ACCESS_DENIED
    shown = capsys.readouterr()
    assert shown.err.endswith("fsspec-store: stopped: 's3://b' is denied\n")
    found = json.loads(shown.out)
    assert (found["error"], found["exit_code"]) == ("access_denied", 4)
    assert found["message"] == found["stopped_by"] == "'s3://b' is denied"
    assert (found["copied"], found["ok"]) == (2, False)


def test_check_reports_missing_chunks(tmp_path: Path) -> None:
    url = str(tmp_path / "air.zarr")
    array = zarr.create_array(
        open_store(url), shape=(4,), chunks=(2,), dtype="i1", compressors=None
    )
    array[:] = np.ones(4, "i1")
    assert run("check", url).out == "2\t0\t0\t4B\t/\n"
    expectation = tmp_path / "expected.json"
    assert run("check", "--write-expectation", expectation, url).code == 0
    assert "c" not in json.loads(expectation.read_text())
    (tmp_path / "air.zarr/c/1").unlink()
    found = run("check", url)
    assert found.code == 1
    assert "error: missing chunk: c/1" in found.err
    assert run("check", "--allow-missing", "*", url).code == 0
    assert run("check", "--expectation", expectation, url).code == 1
    found = run("check", "--json", url)
    assert (found.code, found.documents[0]["ok"]) == (1, False)
    assert run("check", tmp_path).code == 1


def test_progress_at_a_terminal_and_in_a_pipe(
    command: Processes, data: Path, tmp_path: Path
) -> None:
    shown = command.run("cp", data, tmp_path / "a", terminal=True)
    assert shown.code == 0
    assert re.search(r"5 of 5 keys, 3\.1KiB of 3\.1KiB, [\d.]+[KM]iB/s .* 0:00:00", shown.plain)
    assert "5 copied (3.1KiB)" in shown.plain
    piped = command.run("cp", data, tmp_path / "b")
    assert (piped.code, piped.out) == (0, "")
    assert piped.err.startswith("fsspec-store: 5 copied")
    quiet = command.run("cp", "-q", data, tmp_path / "c")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c") == files(data)
    removed = command.run("rm", "-r", "--yes", tmp_path / "a", terminal=True)
    assert re.search(r"5 of 5 keys, [\d,]+ keys/s ", removed.plain)
    environment = {"TERM": "dumb"}
    dumb = command.run("cp", data, tmp_path / "d", terminal=True, environment=environment)
    assert dumb.plain.startswith("fsspec-store: 5 copied")
    assert "\x1b" not in dumb.out


def test_failures_are_shown_at_a_terminal(command: Processes, web: Holding, tmp_path: Path) -> None:
    shown = command.run("cp", f"{web.url}/mixed/", tmp_path / "a", terminal=True)
    assert shown.code == 5
    assert "1 of 2 keys, 1 failed, 1B of 2B" in shown.plain


class Lines(io.TextIOBase):
    """A log whose lines can be awaited."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[str] = SimpleQueue()

    def write(self, text: str) -> int:
        self._lines.put(text)
        return len(text)

    def first(self, part: str) -> str:
        """The next line with a text."""
        while part not in (line := self._lines.get(timeout=60)):
            pass
        return line

    @property
    def is_empty(self) -> bool:
        return self._lines.empty()


def test_progress_in_a_log_is_shown_without_calls() -> None:
    log = Lines()
    with redirect_stderr(log), ShownProgress(Output(), log_seconds=0.01) as shown:
        result = Result()
        shown(result)
        result.listed = 1000
        assert log.first("1,000") == "fsspec-store: 1,000 keys listed, 0 equal\n"
        result.planned, result.planned_bytes, result.copied, result.copied_bytes = 3, 2048, 1, 512
        assert log.first("1 of 3+ keys, 512B of 2.0KiB+, ").endswith("/s\n")
        result.is_listed, result.moving_bytes = True, 512
        assert "1 of 3 keys, 1.0KiB of 2.0KiB, " in log.first("1.0KiB of")
        result.copied, result.failed, result.copied_bytes, result.moving_bytes = 2, 1, 0, 0
        assert log.first(" 0B/s").endswith(": 2 of 3 keys, 1 failed, 0B of 2.0KiB, 0B/s\n")


def test_no_progress_is_logged_after_the_block() -> None:
    log = Lines()
    threads = threading.active_count()
    with redirect_stderr(log):
        with ShownProgress(Output(), log_seconds=0.01) as shown:
            shown(Result(planned=1))
            log.first("0 of 1+ keys")
        assert threading.active_count() == threads
        Output().note("totals")
        assert log.first("totals")
        assert log.is_empty
