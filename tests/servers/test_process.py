"""The care taken of a server program, tried out on programs that are no servers."""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from servers.errors import ServerStartError
from servers.ports import LOOPBACK, listener, port_block, ports_of
from servers.process import Launch, running

Prepare = Callable[[Path], AbstractContextManager[Launch[str]]]


def never() -> str:
    return "never is"


def preparing(*programs: str, why_not_ready: Callable[[], str | None]) -> Prepare:
    """Runs the first Python program at the first attempt, and so on; the last one from then on."""
    left = list(programs)

    @contextmanager
    def prepare(folder: Path) -> Iterator[Launch[str]]:
        program = left.pop(0) if len(left) > 1 else left[0]
        yield Launch([sys.executable, "-c", program], {}, program, why_not_ready)

    return prepare


def enter(name: str, prepare: Prepare, ready_within: float = 30) -> None:
    with running(name, prepare, ready_within=ready_within):
        pass


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_program_that_exits_early_is_tried_again(temporary: Path) -> None:
    started = temporary / "started"
    second = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)"
    prepare = preparing(
        "raise SystemExit('port taken')",
        second,
        why_not_ready=lambda: None if started.exists() else "not yet",
    )
    with running("patient", prepare) as served:
        assert served == second
    assert list(temporary.iterdir()) == [started]


def test_a_program_that_always_exits_is_reported_with_its_last_words(temporary: Path) -> None:
    prepare = preparing("raise SystemExit('no disk')", why_not_ready=never)
    with pytest.raises(ServerStartError, match=r"(?s)broken exited 5 times.*no disk"):
        enter("broken", prepare)
    assert list(temporary.iterdir()) == []


def test_a_program_that_is_never_ready_is_reported_and_killed(temporary: Path) -> None:
    prepare = preparing(
        "import time; print('thinking', flush=True); time.sleep(60)", why_not_ready=never
    )
    started = time.monotonic()
    with pytest.raises(ServerStartError, match=r"(?s)slow was not.*: never is.*thinking"):
        enter("slow", prepare, ready_within=1)
    assert time.monotonic() - started < 30
    assert list(temporary.iterdir()) == []


def test_a_program_does_not_see_the_settings_of_the_developer(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    seen = temporary / "seen"
    program = (
        "import os, pathlib, time\n"
        f"seen = pathlib.Path({str(seen)!r})\n"
        "seen.with_suffix('.part').write_text(' '.join(os.environ))\n"
        "seen.with_suffix('.part').rename(seen)\n"
        "time.sleep(60)\n"
    )
    prepare = preparing(program, why_not_ready=lambda: None if seen.exists() else "not yet")
    with running("curious", prepare):
        assert "AWS_PROFILE" not in seen.read_text().split()
        assert "TMPDIR" in seen.read_text().split()


@pytest.mark.skipif(not Path("/proc").exists(), reason="the system has no /proc")
def test_the_children_of_a_program_end_with_it(temporary: Path) -> None:
    wait = "import time; time.sleep(60)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}])"

    def why_not_ready() -> str | None:
        (folder,) = temporary.iterdir()
        return None if len(running_in(folder)) == 2 else "not yet"

    with running("parent", preparing(program, why_not_ready=why_not_ready)):
        (folder,) = temporary.iterdir()
        processes = running_in(folder)
        assert len(processes) == 2
    deadline = time.monotonic() + 10
    while any(map(is_running, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_running, processes))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_program_ends_when_its_tests_are_killed(tmp_path: Path) -> None:
    tests = f"""
import sys, tempfile
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
tempfile.tempdir = {str(tmp_path)!r}
from servers.process import running
from servers.test_process import preparing
program = "import time; time.sleep(60)"
with running("orphan", preparing(program, why_not_ready=lambda: None)):
    print("up", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", tests]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        (folder,) = tmp_path.iterdir()
        assert running_in(folder)
        parent.kill()
    deadline = time.monotonic() + 10
    while running_in(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running_in(folder)


def is_running(process: str) -> bool:
    try:
        (Path("/proc") / process / "cwd").readlink()
    except OSError:  # Gone, or a zombie.
        return False
    return True


def running_in(folder: Path) -> list[str]:
    """The processes whose working directory is `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
        except OSError:  # gone meanwhile, a zombie, or somebody else's
            continue
    return found


def test_blocks_of_ports_do_not_overlap() -> None:
    with port_block() as one, port_block() as other:
        assert not set(ports_of(one)) & set(ports_of(other))


# These ports are in no other block.
@pytest.mark.parametrize(("taken", "port"), [(22_000, 22_002), (22_020, 32_023)])
def test_a_block_with_a_port_in_use_is_passed_over(taken: int, port: int) -> None:
    only_these = range(taken, taken + 11, 10)
    with socket.create_server((LOOPBACK, port)), port_block(only_these) as block:
        assert block == taken + 10


def test_no_port_is_used_twice() -> None:
    with port_block() as block:
        pass
    with pytest.raises(ServerStartError), port_block(range(block, block + 1)):
        pass
    ports = set()
    for _ in range(20):
        with listener() as listening:
            ports.add(listening.getsockname()[1])
    assert len(ports) == 20
