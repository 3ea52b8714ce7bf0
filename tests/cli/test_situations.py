"""Every command in every situation, at a pipe and at a terminal: what each of them can end with.

A row of `ROWS` states for a command the arguments that lead to each exit code, or why it never ends
with it. A new command needs a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from cli.conftest import Holding
from cli.running import Ended, Processes, run
from fsspec_store.cli import app as application
from fsspec_store.cli.exit_codes import ExitCode
from fsspec_store.cli.frame import app
from fsspec_store.zarr import open_store

_READS = "it changes nothing"
_NO_KEYS = "a SRC without keys is refused"
#: A bucket: a web server has no leftovers to list.
_S3 = "--option key=k --option secret=paper-clip --endpoint-url {server}"


@dataclass(frozen=True)
class Row:
    """The arguments of a command.

    Attributes
    ----------
    codes
        Arguments by exit code. Words in braces are those of `places`.
    held
        Arguments of a run that waits for a server.
    printed
        Arguments of a run that prints to standard output, if ``codes[0]`` does not.
    never
        Reasons by exit code.
    """

    codes: Mapping[int, str]
    held: str
    printed: str = ""
    never: Mapping[int, str] = field(default_factory=dict)


ROWS = {
    "ls": Row(
        {0: "-l {data}", 2: "{data} {data}", 3: "{data}/no", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={5: "it has no operation for each key", 7: _READS},
    ),
    "tree": Row(
        {0: "{data}", 2: "--depth 0 {data}", 3: "{data}/no", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={5: "it has no operation for each key", 7: _READS},
    ),
    "du": Row(
        {0: "{data}", 2: "--depth x {data}", 3: "{data}/no", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={5: "it has no operation for each key", 7: _READS},
    ),
    "stat": Row(
        {0: "{data}/zarr.json", 2: "{data}/", 3: "{data}/no", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={5: "it has one key", 7: _READS},
    ),
    "cat": Row(
        {
            0: "{data}/air/c/0/0",
            2: "--range 1 {data}/zarr.json",
            3: "{data}/no",
            4: "{denied}",
            6: "{broken}",
        },
        held="{held}",
        never={5: "it has one key", 7: _READS},
    ),
    "cp": Row(
        {
            0: "{data} {new}",
            2: "{data}",
            3: "{data}/no {new}",
            4: "{denied} {new}",
            5: "{mixed} {new}",
            6: "{broken} {new}",
            7: "--atomic {data} {copy}",
        },
        held="{held} {new}",
        printed="-n {data} {new}",
    ),
    "sync": Row(
        {
            0: "{data} {new}",
            2: "--max-delete x {data} {new}",
            4: "{denied} {new}",
            5: "{mixed} {new}",
            6: "{broken} {new}",
            7: "{data}/no {copy}",
        },
        held="{held} {new}",
        printed="-n {data} {new}",
        never={3: _NO_KEYS},
    ),
    "verify": Row(
        {
            0: "{data} {copy}",
            1: "{data} {other}",
            2: "--compare x {data} {copy}",
            4: "{denied} {copy}",
            5: "--compare bytes {mixed} {mixed_copy}",
            3: "{data}/no {copy}",
            6: "{broken} {copy}",
            7: "--include nosuch {data} {copy}",
        },
        held="{held} {copy}",
        printed="{data} {other}",
    ),
    "plan": Row(
        {
            0: "{data} {new} {file}",
            2: "{data} {new}",
            3: "{data}/no {copy} {file}",
            4: "{denied} {new} {file}",
            5: "--compare bytes {mixed} {mixed_copy} {file}",
            6: "{broken} {new} {file}",
            7: "--include nosuch {data} {copy} {file}",
        },
        held="{held} {new} {file}",
        printed="--json {data} {new} {file}",
    ),
    "apply": Row(
        {
            0: "{data} {new} {plan}",
            2: "{data} {new} {data}/zarr.json",
            3: "{data} {new} {file}",
            5: "{mixed} {new} {mixed_plan}",
            7: "{data} {other} {plan}",
        },
        held="{slow} {new} {slow_plan}",
        printed="--json {data} {new} {plan}",
        never=dict.fromkeys((4, 6), "a key that cannot be read counts as failed"),
    ),
    "check": Row(
        {
            0: "{zarr}",
            1: "{incomplete}",
            2: "--concurrency 0 {zarr}",
            3: "{data}/no",
            4: "{denied}",
            6: "{broken}",
        },
        held="{held}",
        never={5: "findings have the code 1", 7: _READS},
    ),
    "rm": Row(
        {
            0: "-r --yes {data}",
            2: "-r",
            3: "-r --yes {data}/no",
            4: "-r --yes {denied}",
            5: "-r --yes stubborn://data",
            6: "-r --yes {broken}",
            7: "-r --yes --max-delete 0 {data}",
        },
        held="-r --yes {held}",
        printed="-rn {data}",
    ),
    "cleanup": Row(
        {
            0: "--older-than 0 {leftovers}",
            2: "--older-than x {data}",
            3: "{data}/no",
            4: f"{_S3} s3://denied/x",
            6: f"{_S3} s3://broken/x",
        },
        held=f"{_S3} s3://held/x",
        never={
            5: "it stops at the first failure",
            7: "it removes no key",
        },
    ),
    "info": Row(
        {0: "{data}", 2: "{data} x", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={3: "a place needs no keys", 5: "it has no operation for each key", 7: _READS},
    ),
    "bench": Row(
        {0: "{data}", 2: "--count 0 {data}", 3: "{data}/no", 4: "{denied}", 6: "{broken}"},
        held="{held}",
        never={5: "it stops at the first failure", 7: "it removes only what it wrote"},
    ),
}
CASES = [(name, code) for name, row in ROWS.items() for code in row.codes]
#: The messages of these exit codes, and that of an interruption, are printed by the same lines for
#: all commands: the fast suite runs them at a pipe, and at a terminal for one command.
_SHARED = {2, 3, 4, 6, 130}


def slow_if(condition: bool) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] * condition


def at_both(cases: Iterable[tuple[str, int]]) -> list[Any]:
    """Cases, each at a pipe and at a terminal."""
    return [
        pytest.param(
            name,
            code,
            is_terminal,
            id=f"{name}-{code}-{'terminal' if is_terminal else 'pipe'}",
            marks=slow_if(is_terminal and code in _SHARED and name != "ls"),
        )
        for name, code in cases
        for is_terminal in (False, True)
    ]


@pytest.fixture
def places(tmp_path: Path, data: Path, web: Holding) -> dict[str, str]:
    """What the words in braces are. Those of a group are made together, before the run."""
    return {
        "data": str(data),
        **{name: str(tmp_path / name) for name in ("new", "copy", "other", "file", "mixed_copy")},
        **{name: str(tmp_path / name) for name in ("plan", "mixed_plan", "slow_plan")},
        **{name: str(tmp_path / name) for name in ("zarr", "incomplete", "leftovers")},
        "server": web.url,
        **{name: f"{web.url}/{name}/x" for name in ("denied", "broken", "held")},
        **{name: f"{web.url}/{name}/" for name in ("mixed", "slow")},
    }


def made(line: str, places: Mapping[str, str]) -> list[str]:
    """The arguments of a row; what they name is made if it has to exist."""
    found = line.format_map(places).split()
    for name in re.findall(r"\{(\w+)\}", line):
        path = Path(places[name])
        if name == "copy":
            assert run("cp", places["data"], path).code == 0
        elif name == "other":
            path.mkdir()
            (path / "zarr.json").write_bytes(b"another")
        elif name == "leftovers":
            path.mkdir()
            (path / ".fsspec-store-0123456789abcdef.tmp").touch()
        elif name == "mixed_copy":
            path.mkdir()
            for key in ("good", "bad"):
                (path / key).write_bytes(b"x")
        elif name.endswith("plan"):
            source = places["data"] if name == "plan" else places[name.removesuffix("_plan")]
            assert run("plan", source, places["new"], path).code == 0
        elif name in ("zarr", "incomplete"):
            array = zarr.create_array(open_store(str(path)), shape=(4,), chunks=(2,), dtype="i1")
            array[:] = np.ones(4, "i1")
            if name == "incomplete":
                (path / "c/1").unlink()
    return found


def test_every_command_has_a_row_and_every_exit_code_a_reason() -> None:
    assert application.commands.__all__ == sorted(ROWS)
    assert {each.name for each in app.registered_commands} == set(ROWS)
    codes = {code for code in ExitCode if code < ExitCode.INTERRUPTED}
    for row in ROWS.values():
        # All have the code 1 when standard output cannot be written.
        assert {1, *row.codes, *row.never} == codes
        assert not row.codes.keys() & row.never.keys()


def shown(ended: Ended, *, terminal: bool) -> str:
    """The messages of a run: at a terminal all that follows the last erased line."""
    return ended.plain.rpartition("\x1b[2K")[2] if terminal else ended.err


@pytest.mark.parametrize(("name", "code", "terminal"), at_both(CASES))
def test_exit_codes(
    name: str, code: int, terminal: bool, places: dict[str, str], command: Processes
) -> None:
    arguments = made(ROWS[name].codes[code], places)
    ended = command.run(name, *arguments, terminal=terminal)
    text = shown(ended, terminal=terminal)
    assert (ended.code, "Traceback" in text) == (code, False), text
    if code == 0:
        return
    messages = [line for line in text.splitlines() if line.startswith("fsspec-store: ")]
    assert messages
    if not terminal:
        assert messages == text.splitlines()
        assert "\x1b" not in ended.out + ended.err
    if code not in (1, 5):
        assert len(messages) == 1
        assert terminal or not ended.out


@pytest.mark.parametrize(("name", "code"), [case for case in CASES if case[0] != "cat"])
def test_json_is_all_that_is_printed(
    name: str, code: int, places: dict[str, str], command: Processes
) -> None:
    ended = command.run(name, *made(ROWS[name].codes[code], places), "--json")
    assert ended.code == code
    *_, last = [json.loads(line) for line in ended.out.splitlines()]
    assert isinstance(last, dict)
    if code in (0, 1, 5):
        assert "exit_code" not in last
        return
    assert set(last) == {"error", "exit_code", "message"}
    assert (last["error"], last["exit_code"]) == (ExitCode(code).name.lower(), code)
    assert ended.err.endswith(f"fsspec-store: {last['message']}\n")
    assert ended.out.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "code", "terminal"), at_both((name, ExitCode.INTERRUPTED) for name in ROWS)
)
def test_interrupted(
    name: str, code: int, terminal: bool, places: dict[str, str], web: Holding, command: Processes
) -> None:
    started = command.start(name, *made(ROWS[name].held, places), terminal=terminal)
    assert web.is_held.wait(60)
    started.interrupt()
    ended = started.end()
    message = shown(ended, terminal=terminal).removeprefix("^C")
    if name in {"cp", "sync", "verify", "rm", "apply"}:
        # The other key of the server may be copied, and the transfer may not have begun.
        so_far = r"[01] copied \([01]B\), 0 equal|deleted 0 keys"
        message = re.sub(rf"^fsspec-store: so far: ({so_far})\n", "", message)
    assert (ended.code, message) == (code, "fsspec-store: interrupted\n")


@pytest.mark.parametrize("name", ROWS)
def test_a_closed_pipe_is_no_message(name: str, places: dict[str, str], command: Processes) -> None:
    row = ROWS[name]
    ended = command.run(name, *made(row.printed or row.codes[0], places), closed=True)
    assert (ended.code, "Error" in ended.err) == (141, False)


@pytest.mark.parametrize("name", ROWS)
def test_a_full_disk_is_an_error(name: str, places: dict[str, str], command: Processes) -> None:
    row = ROWS[name]
    ended = command.run(name, *made(row.printed or row.codes[0], places), full=True)
    assert (ended.code, "No space left" in ended.err.splitlines()[-1]) == (1, True)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        # The errors of both codes are printed by the same lines.
        pytest.param(name, code, marks=slow_if(code == 6 and name != "ls"))
        for name, code in CASES
        if code in (4, 6)
    ],
)
def test_no_secret_is_printed(
    name: str, code: int, places: dict[str, str], web: Holding, command: Processes
) -> None:
    secret = web.url.replace("://", "://reader:correct-horse@")
    line = ROWS[name].codes[code]
    url = f"{secret}/{'denied' if code == 4 else 'broken'}/x?token=battery-staple"
    arguments = made(line, places | {"denied": url, "broken": url})
    if "{server}" not in line:
        option = "--option" if ROWS[name].held.count("{") == 1 else "--src-option"
        arguments += [option, 'headers={"X-Api": "paper-clip"}']
    # With the traceback, and the message that is printed without it too.
    ended = command.run(name, *arguments, "-v")
    assert (ended.code, "Traceback" in ended.err) == (code, True), ended.err
    for word in ("correct-horse", "battery-staple", "paper-clip"):
        assert word not in ended.out + ended.err
