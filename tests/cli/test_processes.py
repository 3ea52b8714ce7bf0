"""The command in processes: at a pipe and at a terminal, interrupted, and with a closed pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import Holding
from cli.running import Processes
from fsspec_store.cli import app as application

#: Each command with its name in the data set, and a word of its output at a terminal.
COMMANDS = {
    "ls": ("", "air-2"),
    "ls -r": ("", "air/c/0/0"),
    "ls -l": ("", "-  air/"),
    "tree": ("", "│   └── zarr.json"),
    "du": ("", "size  keys  name"),
    "stat": ("zarr.json", "size      16"),
    "cat": ("air/c/0/0", "abcdefgh"),
    "rm -rn": ("air", "c/0/0"),
    "info": ("", "compare and swap"),
    "bench": ("", "operation"),
}


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_output(line: str, terminal: bool, data: Path, command: Processes) -> None:
    name, word = COMMANDS[line]
    ended = command.run(*line.split(), data / name, terminal=terminal)
    assert ended.code == 0
    assert ended.out
    assert (word in ended.plain) or not terminal
    assert "\x1b" not in ended.out or terminal or line == "cat"
    assert "Traceback" not in ended.out + ended.err


@pytest.mark.parametrize("reply", ["y\n", "n\n", "\n", "\x04", "\x03"])
def test_rm_asks_at_a_terminal(reply: str, data: Path, command: Processes) -> None:
    started = command.start("rm", "-r", data / "air", terminal=True)
    question = started.wait_for("[y/N]")
    assert started.terminal is not None
    os.write(started.terminal, reply.encode())
    ended = started.end()
    assert question.strip() == f"Delete 3 keys, 3.0KiB, below {data}/air? [y/N]"
    assert ended.code == {"y\n": 0, "\x03": 130}.get(reply, 7)
    assert (data / "air").exists() is (reply != "y\n")


@pytest.mark.parametrize(
    ("environment", "has_colors"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colors(
    environment: dict[str, str], has_colors: bool, data: Path, command: Processes
) -> None:
    for line in ("ls -l", "tree", "du"):
        ended = command.run(*line.split(), data, terminal=True, environment=environment)
        assert ("\x1b[" in ended.out) is has_colors


def test_colors_are_forced_in_a_pipe(data: Path, command: Processes) -> None:
    environment = {"FORCE_COLOR": "1"}
    ended = command.run("ls", "-l", data, environment=environment)
    assert ended.out.startswith("-\t\x1b[1;34mair/\x1b[0m\n")
    assert "\x1b" not in command.run("ls", "--json", data, environment=environment).out


def test_json_at_a_terminal_is_json(data: Path, command: Processes) -> None:
    ended = command.run("du", "--json", data, terminal=True)
    assert json.loads(ended.out)["keys"] == 5


def test_long_lines_are_not_wrapped_at_a_pipe(tmp_path: Path, command: Processes) -> None:
    name = "x" * 200
    (tmp_path / name).write_bytes(b"1")
    environment = {"COLUMNS": "40"}
    for line in ("ls", "ls -l", "tree", "du"):
        assert name in command.run(*line.split(), tmp_path, environment=environment).out


def test_a_full_disk_is_an_error(data: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = started("ls", str(data), stdout=full)
        _, message = ended.communicate(timeout=60)
    assert (ended.returncode, message.count("\n")) == (1, 1)
    assert "No space left" in message


@pytest.mark.parametrize(
    ("line", "code"),
    [("{} ls nothing 2>&-", 3), ("{} ls . >&-", 0), ("({} ls nothing; echo $? >&3) 2>&1 | :", 3)],
)
def test_closed_streams(line: str, code: int, data: Path) -> None:
    program = f"exec 3>&1; {line.format(f'{sys.executable} -m fsspec_store')}; echo $? >&3"
    ended = subprocess.run(["sh", "-c", program], cwd=data, capture_output=True, text=True)
    assert (ended.stdout.split()[0], ended.stderr) == (str(code), "")


def started(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """A run that is not forked from a process that has imported everything."""
    return subprocess.Popen(
        [sys.executable, "-m", "fsspec_store", *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ([], 0, None),
        (["--range", "5:15000000"], 5, 15_000_000),
        (["--range", "12000000:"], 12_000_000, None),
        (["--suffix", "12000000"], -12_000_000, None),
    ],
)
def test_cat_writes_large_parts(
    arguments: list[str], start: int, end: int | None, tmp_path: Path
) -> None:
    value = bytes(range(256)) * (20 * 2**12)
    (tmp_path / "value").write_bytes(value)
    read = subprocess.run(
        [sys.executable, "-m", "fsspec_store", "cat", *arguments, tmp_path / "value"],
        capture_output=True,
    )
    assert (read.returncode, read.stdout == value[start:end], read.stderr) == (0, True, b"")


def test_cat_needs_memory_for_a_few_parts_only(tmp_path: Path) -> None:
    with (tmp_path / "value").open("wb") as file:
        file.truncate(2**30)
    program = f"""
import sys
from pathlib import Path
sys.argv = ["fsspec-store", "cat", {str(tmp_path / "value")!r}]
from fsspec_store.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
status = Path("/proc/self/status").read_text()
print(code, status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, peak = map(int, done.stderr.split())
    assert code == 0
    # In KiB, the libraries included.
    assert peak < 250 * 2**10


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(2000):
        (tmp_path / f"{'x' * 100}-{number}").touch()
    return tmp_path


def test_head_reads_the_first_line_of_a_whole_process(many: Path) -> None:
    ended = started("ls", "-r", str(many))
    assert ended.stdout is not None
    assert ended.stdout.readline()
    ended.stdout.close()
    assert ended.stderr is not None
    assert ended.stderr.read() == ""
    assert ended.wait(60) == 141
    ended.stderr.close()


def test_a_whole_process_is_interrupted(web: Holding) -> None:
    # Jobs of a shell, and workers of parallel tests, are started with the signal ignored.
    ended = started(
        "ls",
        f"{web.url}/held",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert web.is_held.wait(60)
    ended.send_signal(signal.SIGINT)
    assert ended.communicate(timeout=60) == ("", "fsspec-store: interrupted\n")
    assert ended.returncode == 130


PROGRAM = """
import sys
sys.argv = ["fsspec-store", *{arguments!r}]
{before}
from fsspec_store.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
heavy = {{"aiobotocore", "aiohttp", "asyncio", "fsspec", "numpy", "rich.console", "s3fs", "zarr"}}
print(sorted(heavy & set(sys.modules)), code)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["ls", "--help"], ["--version"]])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    program = PROGRAM.format(arguments=arguments, before="")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_check_imports_reports_only_to_write_one(data: Path, tmp_path: Path) -> None:
    for options in ([], ["--html", str(tmp_path / "page")], ["--junit", str(tmp_path / "xml")]):
        program = PROGRAM.format(arguments=["check", *options, str(data)], before="")
        program += "print('fsspec_store.reports' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == str(bool(options)), done.stderr


def test_without_the_extra_it_names_the_command_that_installs_it() -> None:
    program = PROGRAM.format(arguments=["--help"], before="sys.modules['typer'] = None")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[] 2"
    assert "pip install 'fsspec-store[cli]'" in done.stderr


@pytest.mark.parametrize("name", application.commands.__all__)
def test_help_has_two_examples(name: str, command: Processes) -> None:
    shown = command.run(name, "--help")
    assert shown.code == 0
    assert shown.out.partition("Examples:")[2].count(f"fsspec-store {name} ") >= 2


def test_records_of_libraries_need_verbose(command: Processes, tmp_path: Path) -> None:
    environment = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "missing"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x",
    }
    ended = command.run("ls", "s3://b/x", environment=environment)
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    verbose = command.run("ls", "-v", "s3://b/x", environment=environment)
    assert verbose.code == 4
    assert "Refreshing temporary credentials failed" in verbose.err


def test_warnings_of_the_package_are_shown() -> None:
    script = """if True:
        import logging, sys
        from fsspec_store import FsspecStore, cli
        opened = FsspecStore.from_url
        def open_with_warning(*arguments, **options):
            logging.getLogger("fsspec_store.s3").warning("own")
            logging.getLogger("other").warning("of a library")
            return opened(*arguments, **options)
        FsspecStore.from_url = open_with_warning
        cli.main()"""
    ended = subprocess.run(
        [sys.executable, "-c", script, "ls", "memory://none"], capture_output=True, text=True
    )
    assert ended.stderr.splitlines()[0] == "own"
    assert "of a library" not in ended.stderr


def test_a_signal_after_the_exit_handlers_keeps_the_exit_code() -> None:
    script = """if True:
        import atexit, os, signal
        from fsspec_store import cli
        # It runs after the handlers that are registered later.
        @atexit.register
        def interrupt():
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(os.getpid(), number)
        cli.main()"""
    ended = subprocess.run(
        [sys.executable, "-c", script, "ls", "memory://none"], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
