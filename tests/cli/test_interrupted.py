"""Transfers and clean-ups that are interrupted, or whose target is full."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest
from servers import S3Endpoint
from servers.fault_proxy import Fault, fault_proxy
from servers.roots import new_root

from cli.conftest import SIZES, Holding
from cli.running import Ended, Processes, run
from fsspec_store import Buffer, FsspecStore
from fsspec_store.cli.commands.rm import DeletionProgress
from fsspec_store.cli.output import Output
from fsspec_store.cli.progress import ShownProgress
from fsspec_store.errors import BackendError, RefusedError
from fsspec_store.transfer import Failure, Result, sync

TEMPORARY = ".fsspec-store-0123456789abcdef.tmp"
MIB = 2**20
PROGRAM = [sys.executable, "-m", "fsspec_store"]


def leftover(folder: Path, age: float = 0) -> Path:
    path = folder / TEMPORARY
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"part")
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))
    return path


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def fail_after(
    result: Result,
    error: BaseException,
    output: Output,
    progress: type[ShownProgress] = ShownProgress,
) -> None:
    """Raise an error in a transfer that has this result so far."""
    with progress(output) as shown:
        shown(result)
        raise error


class TestCleanup:
    def test_removes_what_is_older_than_a_day(self, data: Path) -> None:
        old, young = leftover(data / "air/c", 90_000), leftover(data / "air-2", 80_000)
        shown = run("cleanup", "-n", data)
        assert (shown.code, shown.err) == (0, "fsspec-store: 1 leftover would be removed\n")
        kind, _, size, key = shown.out.rstrip("\n").split("\t")
        assert (kind, size, key) == ("temporary", "4B", f"air/c/{TEMPORARY}")
        assert old.exists()
        removed = run("cleanup", data)
        assert (removed.code, removed.out) == (0, shown.out)
        assert not old.exists()
        assert young.exists()
        assert files(data) == sorted([*SIZES, f"air-2/{TEMPORARY}"])

    @pytest.mark.parametrize("age", ["0", "20m", "1h", "0.5d", "3000s"])
    def test_an_age(self, data: Path, age: str) -> None:
        left = leftover(data, 50_000)
        [document] = run("cleanup", "--json", "--older-than", age, data).documents
        assert not left.exists()
        assert document.pop("modified").endswith("+00:00")
        assert document == {"key": TEMPORARY, "kind": "temporary", "size": 4}

    @pytest.mark.parametrize("age", ["", "-1", "1w", "day"])
    def test_an_invalid_age_is_wrong_usage(self, data: Path, age: str) -> None:
        left = leftover(data, 10**6)
        assert run("cleanup", f"--older-than={age}", data).code == 2
        assert left.exists()

    def test_at_a_terminal_and_at_a_closed_pipe(self, data: Path, command: Processes) -> None:
        leftover(data, 90_000)
        shown = command.run("cleanup", "-n", data, terminal=True)
        assert shown.code == 0
        assert TEMPORARY in shown.plain
        assert command.run("cleanup", "--help").out.count("fsspec-store cleanup ") >= 2
        assert command.run("cleanup", "-n", data, closed=True).code == 141

    def test_ctrl_c(self, web: Holding, command: Processes) -> None:
        arguments = ["-o", "key=k", "-o", "secret=s", "--endpoint-url", web.url]
        started = command.start("cleanup", *arguments, "s3://bucket/data")
        assert web.is_held.wait(60)
        started.interrupt()
        assert started.end() == Ended(130, "", "fsspec-store: interrupted\n")

    def test_a_place_without_deletes_is_wrong_usage(self, web: Holding) -> None:
        assert run("cleanup", f"{web.url}/data.zarr/").code == 2


class TestTotalsSoFar:
    """The second value gets no response. What was done before is shown."""

    @pytest.fixture
    def places(self, web: Holding, tmp_path: Path) -> dict[str, str]:
        source, copy, plan = f"{web.url}/slow/", tmp_path / "copy", tmp_path / "plan"
        copy.mkdir()
        for name in ("good", "held"):
            (copy / name).write_bytes(b"x")
        assert run("plan", source, tmp_path / "new", plan).code == 0
        return {
            "src": source,
            "copy": str(copy),
            "new": str(tmp_path / "new"),
            "plan": str(plan),
            "array": f"{web.url}/array/",
        }

    @pytest.mark.parametrize(
        ("line", "text", "done"),
        [
            ("cp {src} {new}", "1 copied (1B), 0 equal", {"copied": 1}),
            ("sync {src} {new}", "1 copied (1B), 0 equal", {"copied": 1}),
            ("apply {src} {new} {plan}", "1 copied (1B), 0 equal", {"copied": 1}),
            ("verify {src} {copy}", "0 copied (0B), 1 equal", {"equal": 1}),
            ("cp --include held {src} {new}", "0 copied (0B), 0 equal", {"copied": 0}),
            (
                "verify --compare bytes --include held {src} {copy}",
                "0 copied (0B), 0 equal",
                {"equal": 0},
            ),
            (
                "check --deep {array}",
                "3 keys listed, 1 chunks present, 0 decoded",
                {"keys": 3, "chunks": 1},
            ),
        ],
    )
    @pytest.mark.parametrize("flags", [[], ["--json"]])
    def test_are_shown(
        self,
        line: str,
        text: str,
        done: dict[str, int],
        flags: list[str],
        places: dict[str, str],
        web: Holding,
        command: Processes,
    ) -> None:
        started = command.start(*line.format(**places).split(), "--concurrency", "1", *flags)
        assert web.is_held.wait(60)
        started.interrupt()
        ended = started.end()
        assert ended.code == 130
        *found, totals, end = ended.err.splitlines()
        assert found == ["fsspec-store: warning: unknown key: stray"] * line.startswith("check")
        assert (totals, end) == (f"fsspec-store: so far: {text}", "fsspec-store: interrupted")
        if not flags:
            assert not ended.out
            return
        [found] = ended.documents
        error = {"error": "interrupted", "exit_code": 130, "message": "interrupted", "ok": False}
        assert {**found, **error, **done} == found
        if "check" in line:
            assert found["findings"][0]["kind"] == "unknown_key"

    def test_with_failures_and_after_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = Output(json=True)
        for error in (KeyboardInterrupt(), BackendError("gone")):
            result = Result(deleted=2)
            result.add_failure(Failure("a", "delete", "AccessDeniedError: no deletes"))
            with pytest.raises(type(error)):
                fail_after(result, error, output)
            output.failed(error)
            *messages, last = capsys.readouterr()[::-1]
            assert "".join(messages).splitlines()[:2] == [
                "fsspec-store: cannot delete 'a': no deletes",
                "fsspec-store: so far: 0 copied (0B), 2 deleted, 0 equal, 1 failed",
            ]
            found = json.loads(last)
            failure = {"key": "a", "action": "delete", "error": "no deletes"}
            assert (found["deleted"], found["failures"]) == (2, [failure])

    def test_of_values_that_were_not_finished(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = Output(json=True)
        result = Result(copied=1, copied_bytes=MIB, moving_bytes=3 * MIB, planned_bytes=8 * MIB)
        with pytest.raises(KeyboardInterrupt):
            fail_after(result, KeyboardInterrupt(), output)
        output.failed(KeyboardInterrupt())
        out, err = capsys.readouterr()
        text = "1 copied (1.0MiB), 0 equal, 4.0MiB of 8.0MiB moved"
        assert err.splitlines()[0] == f"fsspec-store: so far: {text}"
        assert json.loads(out)["moving_bytes"] == 3 * MIB

    def test_of_a_deletion(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = Output(json=True)
        with pytest.raises(KeyboardInterrupt):
            fail_after(Result(deleted=2), KeyboardInterrupt(), output, DeletionProgress)
        assert capsys.readouterr().err == "fsspec-store: so far: deleted 2 keys\n"
        names = ["ok", "deleted", "failed", "not_tried", "stopped_by", "failures"]
        assert list(output.so_far) == names

    def test_of_nothing_are_not_shown_after_an_error(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = Output()
        with pytest.raises(RefusedError):
            fail_after(Result(equal=3), RefusedError("no"), output)
        assert capsys.readouterr().err == ""


class TestInterruption:
    """At the third request with a part the process gets a signal; that request gets no response."""

    @pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
    def number(self, request: pytest.FixtureRequest) -> signal.Signals:
        number: signal.Signals = request.param
        return number

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        path = tmp_path / "data/c/0"
        path.parent.mkdir(parents=True)
        path.write_bytes(random.Random(1).randbytes(40 * MIB))
        return path

    @contextmanager
    def interrupted(
        self, endpoint: S3Endpoint, method: str, number: signal.Signals
    ) -> Iterator[Callable[..., tuple[int, str]]]:
        """A function that runs the command with a place behind a proxy."""
        running: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        number_of = itertools.count()

        def plan(requested: str, target: str, headers: Mapping[str, str]) -> Fault | None:
            is_part = "range" in headers if method == "GET" else "partNumber=" in target
            if requested != method or not is_part or next(number_of) != 2:
                return None
            # It may send requests before this process knows it.
            running.get(timeout=60).send_signal(number)
            return Fault.DELAYED

        with fault_proxy(endpoint.url) as proxy:
            options = replace(endpoint, url=proxy.url).storage_options()
            proxy.plan = plan

            def run(flag: str, *arguments: str) -> tuple[int, str]:
                given = [f"{flag}={name}={json.dumps(each)}" for name, each in options.items()]
                process = subprocess.Popen(
                    [*PROGRAM, "sync", *given, *arguments],
                    stderr=subprocess.PIPE,
                    text=True,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                )
                running.put(process)
                # With twelve busy processes beside it on one core it takes 50 s.
                _, message = process.communicate(timeout=240)
                return process.returncode, message

            yield run

    async def test_an_upload_is_continued(
        self, seaweedfs_endpoint: S3Endpoint, large: Path, number: signal.Signals
    ) -> None:
        url = f"s3://{new_root(seaweedfs_endpoint)}"
        source = FsspecStore.from_url(str(large.parents[1]))
        with self.interrupted(seaweedfs_endpoint, "PUT", number) as command:
            code, message = command("--dst-option", str(large.parents[1]), url)
        assert code == 130
        totals, kept, end = message.splitlines()
        assert re.search(r" 0 copied \(0B\), 0 equal, [\d.]+MiB of 40.0MiB moved$", totals)
        assert kept.startswith("fsspec-store: unfinished uploads are kept: run it again")
        assert end == "fsspec-store: interrupted"
        async with FsspecStore.from_url(url, seaweedfs_endpoint.storage_options()) as store:
            assert [key async for key in store.list()] == []
            assert [each.key async for each in store.list_leftovers()] == ["c/0"]
            assert (await sync(source, store)).copied == 1
            value = await store.get("c/0")
            assert [each async for each in store.list_leftovers()] == []
        assert value is not None
        assert value.to_bytes() == large.read_bytes()

    def test_a_download_leaves_nothing(
        self, minio_endpoint: S3Endpoint, large: Path, number: signal.Signals, tmp_path: Path
    ) -> None:
        url = f"s3://{new_root(minio_endpoint)}"
        with closing(FsspecStore.from_url(url, minio_endpoint.storage_options())) as store:
            store.sync.set("c/0", Buffer.from_bytes(large.read_bytes()))
        target = tmp_path / "target"
        with self.interrupted(minio_endpoint, "GET", number) as command:
            code, message = command("--src-option", url, str(target))
        assert code == 130
        assert message.startswith("fsspec-store: so far: 0 copied (0B), 0 equal")
        assert message.endswith("\nfsspec-store: interrupted\n")
        assert "uploads" not in message
        assert files(target) == []


class TestFullDisk:
    """Every key that does not fit is a failure, and no part of it is left."""

    @pytest.fixture
    def source(self, data: Path) -> Path:
        # A value in one piece, and one in parts.
        for name, size in (("small", 3 * MIB), ("large", 20 * MIB)):
            (data / "air/c" / name).write_bytes(bytes(size))
        return data

    def test_files_that_are_too_large(self, source: Path, tmp_path: Path) -> None:
        limit = (2 * MIB, resource.RLIM_INFINITY)
        for line, failed in (
            (["sync", source, tmp_path / "target"], ["small", "large"]),
            (["cp", source / "air/c/large", tmp_path / "target/air/c/large"], ["large"]),
        ):
            ended = subprocess.run(
                [*PROGRAM, *map(str, line)],
                capture_output=True,
                text=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
            )
            assert ended.returncode == 5
            assert ended.stderr.count("File too large") == len(failed)
            assert all(f"{name}'" in ended.stderr for name in failed)
            # The metadata above the chunks that failed is not copied.
            assert files(tmp_path / "target") == ["air-2/zarr.json", "air/c/0/0", "air/c/0/1"]

    def test_a_full_file_system(self, source: Path, tmp_path: Path) -> None:
        target = tmp_path / "target"
        target.mkdir()
        # A process may mount a file system in a new namespace.
        mount = ["unshare", "-rm", "sh", "-ec", 'mount -t tmpfs -o size=1m none "$0"; "$@"', target]
        try:
            subprocess.run([*mount, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("cannot: mount a file system in a namespace")
        script = 'cd "$0"; code=0; "$@" || code=$?; find . -type f | sort; exit $code'
        command = [*PROGRAM, "sync", "--concurrency", "1", source, "."]
        ended = subprocess.run(
            [*mount, "sh", "-c", script, target, *command], capture_output=True, text=True
        )
        assert ended.returncode == 5
        assert ended.stderr.count("No space left on device") == 2
        assert ended.stdout.split() == ["./air-2/zarr.json", "./air/c/0/0", "./air/c/0/1"]
