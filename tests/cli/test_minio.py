"""All commands on one service: MinIO, by its options, the environment and a profile."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from servers import S3Endpoint
from servers.fault_proxy import Answer, Fault, FaultProxy, fault_proxy

from cli.conftest import SIZES
from cli.running import Processes, Started, run
from fsspec_store import Buffer, FsspecStore

DENIED = b"<Error><Code>AccessDenied</Code><Message>no deletes</Message></Error>"


@pytest.fixture(scope="module")
def endpoint(minio_endpoint: S3Endpoint) -> S3Endpoint:
    return minio_endpoint


@pytest.fixture
def bucket(endpoint: S3Endpoint) -> Iterator[str]:
    """The URL of a bucket with the data set."""
    name = endpoint.make_bucket()
    with FsspecStore.from_url(f"s3://{name}", endpoint.storage_options()) as store:
        for key, size in SIZES.items():
            store.sync.set(key, Buffer.from_bytes(bytes(size)))
        yield f"s3://{name}"


@pytest.fixture
def options(endpoint: S3Endpoint) -> list[str]:
    given = {"key": endpoint.key, "secret": endpoint.secret}
    pairs = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
    return [*pairs, "--endpoint-url", endpoint.url]


def test_the_commands_that_read(bucket: str, options: list[str]) -> None:
    assert run("ls", *options, bucket).out.splitlines() == ["air", "air-2", "zarr.json"]
    assert run("ls", "-l", *options, f"{bucket}/air").out == "-\tc/\n20B\tzarr.json\n"
    assert run("ls", *options, f"{bucket}/air/zarr.json").out == "zarr.json\n"
    found = run("ls", "-r", "--json", *options, bucket).documents
    assert {each["key"]: each["size"] for each in found} == SIZES
    assert "└── zarr.json" in run("tree", *options, bucket).out
    assert run("du", "-d0", "--bytes", *options, bucket).out == "3138\t5\t.\n"
    assert len(run("cat", "--range", "5:", *options, f"{bucket}/zarr.json").out) == 11
    [found] = run("stat", "--json", *options, f"{bucket}/zarr.json").documents
    assert (found["size"], found["version"][0]) == (16, '"')
    [found] = run("info", "--json", *options, bucket).documents
    assert (found["transport"], found["service"]) == ("native", f"s3 at {options[-1]}")
    assert (found["versions"], found["lists_in_order"], found["tls"]) == ("ETag", None, False)
    assert (found["largest_request_bytes"], found["part_size_bytes"]) == (5 * 2**30, 2**24)
    assert found["http_version"] == "1.1"
    [probed] = run("info", "--probe", "--json", *options, bucket).documents
    assert (
        probed["atomic_create"] is probed["lists_in_order"] is probed["copies_on_service"] is True
    )
    assert sorted(run("ls", "-r", *options, bucket).out.splitlines()) == sorted(SIZES)
    assert "largest request\t5.0GiB\n" in run("info", *options, bucket).out


def test_the_commands_that_write(bucket: str, options: list[str]) -> None:
    [found] = run("bench", "--write", "--count", "20", "--json", *options, bucket).documents
    assert [each["count"] for each in found["figures"]] == [20] * 4
    assert len(run("ls", "-r", *options, bucket).out.splitlines()) == 5
    assert run("rm", *options, f"{bucket}/zarr.json").code == 0
    assert run("rm", "-r", "--yes", *options, f"{bucket}/air/").code == 0
    assert run("ls", "-r", *options, bucket).out == "air-2/zarr.json\n"
    assert run("rm", "-r", "--yes", *options, bucket).code == 0
    assert run("ls", *options, bucket).code == 3


def test_exit_codes(bucket: str, options: list[str], endpoint: S3Endpoint) -> None:
    assert run("ls", *options, "s3://no-such-bucket").code == 3
    assert run("cat", *options, f"{bucket}/nothing").code == 3
    assert run("ls", "--anon", "--endpoint-url", endpoint.url, bucket).code == 4
    wrong = ["option", "key=nobody", "option", "secret=wrong-horse", "endpoint-url", endpoint.url]
    for line in (
        *("ls -l", "tree", "info", "bench", "check", "rm -r --yes", "stat {}/zarr.json", "du"),
        *("cat {}/zarr.json", "cp {}/air {}/x", "sync {}/air {}/x", "verify {}/air {}/x"),
        "plan {}/air {}/x file",
    ):
        name, *arguments = line.format(bucket, bucket).split()
        sides = ("src-", "dst-") if name in ("cp", "sync", "verify", "plan") else ("",)
        given = [
            f"--{side}{word}" if n % 2 == 0 else word
            for side in sides
            for n, word in enumerate(wrong)
        ]
        url = [] if "{}" in line else [bucket]
        for verbose in ([], ["-v"]):
            ended = run(name, *verbose, *given, *arguments, *url)
            assert ended.code == 4, line
            assert ("Traceback" in ended.err) is bool(verbose)
            assert "wrong-horse" not in ended.out + ended.err


def test_requests_of_ls_and_stat(bucket: str, endpoint: S3Endpoint) -> None:
    with fault_proxy(endpoint.url) as proxy:
        for line, requests in (
            ("ls", ["GET"]),
            ("ls -l", ["GET"]),
            ("ls --json", ["GET"]),
            ("ls -r", ["GET"]),
            ("ls -rl", ["GET"]),
            ("du", ["GET"]),
            ("tree", ["GET"]),
            ("stat", ["GET"]),
            ("rm -rn", ["GET"]),
        ):
            url = f"{bucket}/zarr.json" if line == "stat" else bucket
            with proxy.watching() as seen:
                assert run(*line.split(), *by_proxy(endpoint, proxy), url).code == 0
            assert [each.method for each in seen] == requests, line
            # A stat reads at most one byte, which a service states the size with.
            assert all("list-type=2" in each.target for each in seen) is (line != "stat")


def test_keys_that_the_service_does_not_delete_are_listed(
    bucket: str, endpoint: S3Endpoint
) -> None:
    def deny(method: str, target: str, headers: Mapping[str, str]) -> Answer | None:
        if method == "POST" or (method == "DELETE" and target.endswith("/air/c/0/1")):
            return Answer(403, {"Content-Type": "application/xml"}, DENIED)
        return None

    with fault_proxy(endpoint.url) as proxy:
        proxy.plan = deny
        ended = run("rm", "-r", "--yes", "--json", *by_proxy(endpoint, proxy), bucket)
    assert ended.code == 5
    [found] = ended.documents
    assert [failure["key"] for failure in found["failures"]] == ["air/c/0/1"]
    assert found["deleted"] == len(SIZES) - 1
    with FsspecStore.from_url(bucket, endpoint.storage_options()) as store:
        assert list(store.sync.list()) == ["air/c/0/1"]


def test_rm_deletes_the_keys_of_a_level_in_one_request(bucket: str, endpoint: S3Endpoint) -> None:
    with FsspecStore.from_url(bucket, endpoint.storage_options()) as store:
        for number in range(100):
            store.sync.set(f"air/c/1/{number}", Buffer.from_bytes(b"x"))
    with fault_proxy(endpoint.url) as proxy, proxy.watching() as seen:
        assert run("rm", "-r", "--yes", *by_proxy(endpoint, proxy), bucket).code == 0
    # The root, then the two arrays, then all chunks.
    assert [each.method for each in seen if each.method != "GET"] == ["POST"] * 3


def test_credentials_of_the_environment_and_of_a_profile(
    bucket: str, endpoint: S3Endpoint, command: Processes, tmp_path: Path
) -> None:
    profiles = tmp_path / "credentials"
    profiles.write_text(
        f"[field]\naws_access_key_id = {endpoint.key}\naws_secret_access_key = {endpoint.secret}\n"
    )
    keys = {"AWS_ACCESS_KEY_ID": endpoint.key, "AWS_SECRET_ACCESS_KEY": endpoint.secret}
    files = {"AWS_SHARED_CREDENTIALS_FILE": str(profiles)}
    cases: list[tuple[Mapping[str, str], list[str]]] = [
        ({**keys, "AWS_ENDPOINT_URL": endpoint.url}, []),
        (files, ["--profile", "field", "--endpoint-url", endpoint.url]),
    ]
    for environment, arguments in cases:
        ended = command.run("ls", *arguments, bucket, environment=environment)
        assert (ended.code, ended.out) == (0, "air\nair-2\nzarr.json\n"), ended.err


def test_the_configuration_of_fsspec(bucket: str, endpoint: S3Endpoint) -> None:
    # It is read when fsspec is imported, so the process is a new one.
    configuration = {
        "FSSPEC_S3_KEY": endpoint.key,
        "FSSPEC_S3_SECRET": endpoint.secret,
        "FSSPEC_S3_ENDPOINT_URL": endpoint.url,
    }
    listed = subprocess.run(
        [sys.executable, "-m", "fsspec_store", "ls", bucket],
        env={**os.environ, **configuration},
        capture_output=True,
        text=True,
    )
    assert (listed.returncode, listed.stdout) == (0, "air\nair-2\nzarr.json\n"), listed.stderr


def test_a_dry_run_of_one_key_to_a_missing_bucket(data: Path, options: list[str]) -> None:
    given = ["--dst-" + word[2:] if word.startswith("--") else word for word in options]
    ended = run("cp", "-n", *given, data / "zarr.json", "s3://no-such-bucket/x")
    assert (ended.code, ended.out) == (3, "")
    assert "bucket" in ended.err


def test_a_bench_without_permission_to_write(
    bucket: str, options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ended = run("bench", "--write", *options, "-o", "secret=wrong", bucket)
    # A task whose exception is not retrieved is logged when it is collected.
    gc.collect()
    assert (ended.code, caplog.messages) == (4, [])


def test_an_interrupted_bench_removes_what_it_wrote(
    bucket: str, endpoint: S3Endpoint, command: Processes
) -> None:
    reading = threading.Event()

    def hold_reads(method: str, target: str, headers: Mapping[str, str]) -> Fault | None:
        if method != "GET" or "list-type" in target:
            return None
        reading.set()
        return Fault.DELAYED

    with fault_proxy(endpoint.url) as proxy:
        proxy.plan = hold_reads
        started = command.start("bench", "--write", *by_proxy(endpoint, proxy), bucket)
        assert reading.wait(60)
        started.interrupt()
        ended = started.end()
    assert (ended.code, ended.err) == (130, "fsspec-store: interrupted\n")
    with FsspecStore.from_url(bucket, endpoint.storage_options()) as store:
        assert sorted(store.sync.list()) == sorted(SIZES)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_that_is_interrupted_in_its_writes_leaves_nothing(
    number: signal.Signals, bucket: str, endpoint: S3Endpoint, command: Processes
) -> None:
    writes = itertools.count(1)
    started: list[Started] = []
    is_started = threading.Event()

    def interrupt(method: str, target: str, headers: Mapping[str, str]) -> None:
        # Other writes are on their way, and this one is stored after the signal.
        if method == "PUT" and next(writes) == 40 and is_started.wait(60):
            os.kill(started[0].pid, number)

    with fault_proxy(endpoint.url) as proxy:
        proxy.plan = interrupt
        arguments = ["--count", "2000", "--size", "100000", *by_proxy(endpoint, proxy)]
        started.append(command.start("bench", "--write", *arguments, bucket))
        is_started.set()
        ended = started[0].end()
    assert (ended.code, ended.err) == (130, "fsspec-store: interrupted\n")
    assert next(writes) > 40
    with FsspecStore.from_url(bucket, endpoint.storage_options()) as store:
        assert sorted(store.sync.list()) == sorted(SIZES)


def by_proxy(endpoint: S3Endpoint, proxy: FaultProxy) -> list[str]:
    pairs = (f"key={endpoint.key}", f"secret={endpoint.secret}")
    return [*(word for pair in pairs for word in ("-o", pair)), "--endpoint-url", proxy.url]
