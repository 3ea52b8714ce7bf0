"""Copy very many small keys through every service and back: byte for byte, time and memory.

    python benchmarks/round_trip.py [--keys 100000] [--folder /tmp] [--without fake-gcs-server]

Starts SeaweedFS, MinIO, Azurite and fake-gcs-server. A local folder is copied to the first one,
that one to the second, and so on, and the last one to another folder. Each copy is a new process.
Prints its keys per second, CPU time and peak memory. Then all files are compared, and each copy is
repeated, which finds nothing to copy.

fake-gcs-server searches all values of a bucket for a key: the time of both copies that use it grows
with the square of the number of keys.
"""

from __future__ import annotations

import argparse
import filecmp
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers import AzureEndpoint, azurite_server, fake_gcs_server, minio_server, seaweedfs_server
from servers.azurite import INSTALLED

from fsspec_store import FsspecStore
from fsspec_store.transfer.blocking import copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_PER_FOLDER = 1000
_LARGEST_VALUE = 2000
#: Azurite finds a blob by its account first, and then searches all blobs of the account: hours for
#: 100,000 blobs. With the name first, its database uses the index of names.
_NAME_FIRST = """
const {Collection} = require(process.argv[2]);
const findOne = Collection.prototype.findOne;
Collection.prototype.findOne = function ({name, ...others}) {
  return findOne.call(this, name === undefined ? others : {name, ...others});
};
process.argv.splice(2, 1);
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the two local folders are made")
    parser.add_argument("--without", nargs="*", default=[], help="names of servers to leave out")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        # Options are in standard input, so that no command line has a secret.
        print(json.dumps(copied(*json.load(sys.stdin))))
        return
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="round-trip-", dir=arguments.folder)
        folder = Path(stack.enter_context(made))
        first, last = folder / "first", folder / "last"
        fill(first, arguments.keys)
        places: list[tuple[str, str, dict[str, Any]]] = [("local", str(first), {})]
        for name, (protocol, server) in SERVERS.items():
            if name in arguments.without:
                continue
            endpoint: Any = stack.enter_context(server())
            bucket = endpoint.make_container() if protocol == "abfs" else endpoint.make_bucket()
            places.append((name, f"{protocol}://{bucket}/data.zarr", endpoint.storage_options()))
        places.append(("local", str(last), {}))
        for is_repeated in (False, True):
            for source, target in itertools.pairwise(places):
                figures = in_child(source, target)
                show("again" if is_repeated else "", source, target, figures)
                assert figures["ok"], figures["failures"][:3]
                expected = (0, arguments.keys) if is_repeated else (arguments.keys, 0)
                assert (figures["copied"], figures["equal"]) == expected, figures
            check(first, last, arguments.keys)
            print(f"{arguments.keys} files are equal", flush=True)


@contextmanager
def indexed_azurite() -> Iterator[AzureEndpoint]:
    """Azurite that uses the index of names."""
    database = INSTALLED.parents[1] / "lokijs"
    with tempfile.TemporaryDirectory(prefix="azurite-") as folder:
        patch, program = Path(folder, "name_first.js"), Path(folder, "azurite")
        patch.write_text(_NAME_FIRST)
        program.write_text(f'#!/bin/sh\nexec node -r {patch} {INSTALLED} {database} "$@"\n')
        program.chmod(0o700)
        with azurite_server(installed=program) as endpoint:
            yield endpoint


SERVERS: dict[str, tuple[str, Callable[[], AbstractContextManager[Any]]]] = {
    "SeaweedFS": ("s3", seaweedfs_server),
    "MinIO": ("s3", minio_server),
    "Azurite": ("abfs", indexed_azurite),
    "fake-gcs-server": ("gs", fake_gcs_server),
}


def fill(folder: Path, keys: int) -> None:
    seeded = random.Random(5)
    for number in range(keys):
        parent = folder / f"a/c/{number // _PER_FOLDER}"
        if number % _PER_FOLDER == 0:
            parent.mkdir(parents=True)
        (parent / str(number)).write_bytes(seeded.randbytes(seeded.randrange(1, _LARGEST_VALUE)))


def in_child(*places: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--child"],
        input=json.dumps([place[1:] for place in places]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def copied(
    source: tuple[str, dict[str, Any]], target: tuple[str, dict[str, Any]]
) -> dict[str, Any]:
    # Emulators under load take longer than services.
    with (
        FsspecStore.from_url(*source, timeout=120) as ours,
        FsspecStore.from_url(*target, timeout=120) as theirs,
    ):
        result = copy(ours, theirs)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        **result.to_dict(),
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024 / 1e6,
    }


def show(
    title: str,
    source: tuple[str, str, dict[str, Any]],
    target: tuple[str, str, dict[str, Any]],
    figures: dict[str, Any],
) -> None:
    keys, seconds = figures["copied"] + figures["equal"], figures["seconds"]
    print(
        f"{time.strftime('%H:%M:%S')} {title:5} {source[0]:>15} -> {target[0]:15} "
        f"{seconds:8.1f} s {keys / seconds:8.0f} keys/s {figures['cpu']:8.1f} s of CPU "
        f"{figures['peak']:6.0f} MB",
        flush=True,
    )


def check(first: Path, last: Path, keys: int) -> None:
    names = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert len(names) == keys
    assert sum(path.is_file() for path in last.rglob("*")) == keys
    wrong = [name for name in names if not filecmp.cmp(first / name, last / name, shallow=False)]
    assert not wrong, wrong[:10]


if __name__ == "__main__":
    main()
