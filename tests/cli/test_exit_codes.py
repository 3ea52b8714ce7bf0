"""Exit codes and messages of all commands."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from cli.conftest import Holding
from cli.running import run
from fsspec_store import errors
from fsspec_store.cli.exit_codes import ExitCode, RefusedError, code_of
from fsspec_store.cli.messages import message_of

#: Each command, with what it needs to run without a question.
COMMANDS = [
    ["ls"],
    ["ls", "-r"],
    ["tree"],
    ["du"],
    ["stat"],
    ["cat"],
    ["rm"],
    ["rm", "-r", "--yes"],
    ["info"],
    ["bench"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
class TestEveryCommand:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["--no-such-option", "x"],
            ["a", "b"],
            ["nothing-known://x"],
            ["s3://"],
            ["--option", "no-value", "s3://bucket/x"],
            ["--option", "no_such_option=1", "s3://bucket/x"],
            ["--profile", "p", "x"],
            ["--endpoint-url", "http://127.0.0.1:9", "https://127.0.0.1/x"],
            ["--anon", "memory://x"],
        ],
        ids=" ".join,
    )
    def test_usage(self, command: list[str], arguments: list[str]) -> None:
        ended = run(*command, *arguments)
        assert (ended.code, ended.out) == (ExitCode.USAGE, "")
        assert ended.err.startswith("fsspec-store: ")
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.KeyNotFoundError("x"), 3),
        (errors.BucketNotFoundError("x"), 3),
        (FileNotFoundError("x"), 3),
        (errors.AccessDeniedError("x"), 4),
        (errors.UnauthenticatedError("x"), 4),
        (errors.BackendError("x"), 6),
        (errors.UnreachableError("x"), 6),
        (errors.ByteRangeError("x"), 2),
        (errors.InvalidKeyError("x"), 2),
        (errors.MissingExtraError("x"), 2),
        (errors.ReadOnlyError("x"), 2),
        (errors.StorageOptionError("x"), 2),
        (errors.StoreURLError("x"), 2),
        (errors.UnsupportedOperationError("x"), 2),
        (errors.VersionMismatchError("x"), 1),
        (errors.KeyConflictError("x"), 1),
        (RefusedError("x"), 7),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(errno.EPIPE, "x"), 141),
        (OSError(errno.ENOSPC, "x"), 1),
        (RuntimeError("x"), 1),
        (ExceptionGroup("x", [errors.AccessDeniedError("a"), errors.AccessDeniedError("b")]), 4),
        (ExceptionGroup("x", [errors.AccessDeniedError("a"), errors.KeyNotFoundError("b")]), 5),
    ],
)
def test_errors_have_exit_codes(error: BaseException, code: int) -> None:
    assert code_of(error) == code


def test_an_interruption_that_became_an_error_of_a_lock_is_one() -> None:
    error = RuntimeError("cannot release un-acquired lock")
    assert code_of(error) == ExitCode.INCOMPLETE
    error.__context__ = KeyboardInterrupt()
    assert code_of(error) == ExitCode.INTERRUPTED
    assert message_of(error, {}) == "interrupted"


@pytest.mark.parametrize(
    "line",
    [
        "ls {}",
        "ls -r {}",
        "ls -l {}",
        "tree {}",
        "du {}",
        "check {}",
        "bench {}",
        "cp {} {new}",
        "cp -n {} {new}",
        "sync {} {new}",
        "verify {} {new}",
        "plan {} {new} {new}",
    ],
)
def test_a_missing_folder_of_a_web_server_is_not_found(
    line: str, tmp_path: Path, web: Holding
) -> None:
    url = f"{web.url}/missing/data.zarr"
    ended = run(*line.format(url, new=tmp_path / "new").split())
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert url in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("sync --allow-empty {file} {new}", 2, "SRC is a file: cp copies one key"),
        ("verify {file} {new}", 2, "SRC is a file: cp copies one key"),
        ("plan {file} {new} {new}", 2, "SRC is a file: cp copies one key"),
        ("check {file}", 2, "URL is a file, not a folder: {file!r}"),
        ("cp {data} {file}", 2, "DST is a file, not a folder: {file!r}"),
        ("sync {data} {file}", 2, "DST is a file, not a folder: {file!r}"),
        ("sync {data} {file}/x/y", 2, "DST is below a file: {file!r}"),
        ("verify {data} {file}", 2, "DST is a file, not a folder: {file!r}"),
        ("cp {none} {new}", 3, "no key at '{none}' or under it: no such folder"),
        ("verify {none} {new}", 3, "no key at '{none}' or under it: no such folder"),
        ("cleanup {none}", 3, "no key at '{none}' or under it: no such folder"),
    ],
)
def test_files_and_missing_folders(
    line: str, code: int, message: str, data: Path, tmp_path: Path
) -> None:
    places = {name: str(tmp_path / name) for name in ("new", "none")}
    places |= {"data": str(data), "file": str(data / "zarr.json")}
    ended = run(*line.format(**places).split())
    expected = f"fsspec-store: {message.format(**places)}\n"
    assert (ended.code, ended.out, ended.err) == (code, "", expected)
    assert list(tmp_path.iterdir()) == [data]


def test_a_key_in_place_of_a_prefix(data: Path, tmp_path: Path) -> None:
    key = f"memory://{tmp_path.name}/a"
    assert run("cp", data / "zarr.json", key).code == 0
    ended = run("verify", key, data)
    message = f"fsspec-store: SRC is a key, {key!r}, not a prefix: cp copies one key\n"
    assert (ended.code, ended.err) == (2, message)


def test_a_key_of_a_web_server_that_lists_no_folder(tmp_path: Path, web: Holding) -> None:
    url = f"{web.url}/missing/good"
    assert run("ls", "-l", url).out == "1B\tgood\n"
    assert run("cp", url, f"{tmp_path}/").code == 0
    assert (tmp_path / "good").read_bytes() == b"x"


def test_every_error_of_the_package_has_a_code() -> None:
    # A new error has the code 1 by default.
    assert {
        name
        for name in errors.__all__
        if name != "StoreError" and code_of(getattr(errors, name)("x")) == ExitCode.INCOMPLETE
    } == {"VersionMismatchError", "KeyConflictError"}


def test_ranges_that_are_wrong(data: Path) -> None:
    key = data / "zarr.json"
    for arguments in (["--range", "1"], ["--range", "5:5"], ["--range", "a:b"]):
        assert run("cat", *arguments, key).code == ExitCode.USAGE
    assert run("cat", "--range", "1:2", "--suffix", "1", key).code == ExitCode.USAGE
    assert run("cat", "--range", "99:", key).code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["snyc"], "No such command 'snyc'; did you mean sync? See fsspec-store --help"),
        (["xyz"], "No such command 'xyz'; see fsspec-store --help"),
        (["ls", "--jsno", "x"], "did you mean --json? See fsspec-store ls --help"),
        (["sync", "--max-delet", "1", "x"], "did you mean --max-delete? See fsspec-store sync"),
        (["ls", "--xyz", "x"], "--xyz; see fsspec-store ls --help"),
        (["sync", "--delete", "x", "y"], "--delete is not needed: sync always deletes; --max-del"),
        (["cp", "--delete", "x", "y"], "use sync; see fsspec-store cp --help"),
        (["verify", "-R", "x", "y"], "-R is not needed: every key"),
        (["ls", "-lR", "x"], "-R is -r here; see"),
        (["ls", "-lh", "x"], "-h is not needed: sizes have units"),
        (["du", "-sh", "x"], "-s is --depth 0 here"),
        (["rm", "-rf", "x"], "-f is --yes here"),
        (["sync", "--compare", "x", "a", "b"], "must be one of 'checksum', 'size', 'bytes', 'm"),
        (["tree", "--depth", "0", "x"], "'--depth': must be at least 1; see"),
        (["tree", "--depth", "a", "x"], "must be a whole number; see"),
    ],
)
def test_wrong_usage_says_what_is_right(arguments: list[str], message: str) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert message in ended.err
    [found] = run(*arguments, "--json").documents
    assert found["message"] in ended.err


def test_without_a_command_it_prints_the_help() -> None:
    ended = run()
    assert (ended.code, ended.out) == (2, "")
    assert "Exit codes:" in ended.err


def test_messages_and_tracebacks_hide_secrets(web: Holding) -> None:
    url = web.url.replace("://", "://reader:correct-horse@") + "/denied/x?token=battery-staple"
    for flags in ([], ["-v"]):
        ended = run("ls", *flags, "--option", 'headers={"X-Api": "paper-clip"}', url)
        assert ended.code == ExitCode.ACCESS_DENIED
        assert ("Traceback" in ended.err) is bool(flags)
        for secret in ("correct-horse", "battery-staple", "paper-clip"):
            assert secret not in ended.err


def test_arguments_that_are_not_understood_hide_secrets() -> None:
    ended = run("ls", "a", "s3://user:correct-horse@bucket/x")
    assert ended.code == ExitCode.USAGE
    assert "correct-horse" not in ended.err


def test_documents_hide_secrets(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    url = f"simplecache::file://{tmp_path}"
    for command in ("tree", "du", "info"):
        ended = run(command, "--json", "--option", 'file={"auto_mkdir": true}', url)
        assert ended.code == ExitCode.DONE, ended.err
        assert "***" not in ended.out
