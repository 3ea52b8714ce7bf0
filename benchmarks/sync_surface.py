"""Whether zarr's fused pipeline is faster by this store's blocking methods or by the others.

    python benchmarks/sync_surface.py [--rounds 5] [--places memory files s3] [--threads 10]

Reads and writes arrays by zarr's `FusedCodecPipeline` on one store, in turns by awaiting, ten
concurrent chunks, as zarr does where a store does not have `_supports_sync_io`, and by the
blocking methods in zarr's threads. Prints milliseconds of awaiting, the fastest round, and the
multiple of the time of blocking: above 1 blocking is faster. S3 is SeaweedFS, directly and with
latency.

zarr takes a thread a core unless it is configured, and its pool grows but never shrinks: each
number of threads is measured in a separate process, so it is one a run.

Chunks are not compressed: codecs are not measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from servers import seaweedfs_server
from servers.fault_proxy import fault_proxy

from fsspec_store.zarr import ZarrStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIB, MIB = 2**10, 2**20

#: Bytes of a chunk, and how many there are in an array.
ARRAYS = ((16 * KIB, 512), (1 * MIB, 64))
CHUNKS_A_SHARD = 16
#: Added to each response of the server of `s3 far`.
LATENCY_SECONDS = 0.01
PLACES = ("memory", "files", "s3", "s3 far")


class ConfiguredStore(ZarrStore):
    """A store that blocks if it is configured to."""

    blocks = False

    @property
    def _supports_sync_io(self) -> bool:
        return self.blocks


@contextmanager
def store_at(place: str) -> Iterator[ConfiguredStore]:
    """A store in an empty place."""
    with ExitStack() as stack:
        if place == "memory":
            url, options = "memory://sync-surface", {}
        elif place == "files":
            url, options = stack.enter_context(tempfile.TemporaryDirectory()), {}
        else:
            server = stack.enter_context(seaweedfs_server())
            url, options = f"s3://{server.make_bucket()}/root", server.storage_options()
            if place == "s3 far":
                far = stack.enter_context(fault_proxy(server.url))
                far.latency = LATENCY_SECONDS
                options["endpoint_url"] = far.url
        with ConfiguredStore.from_url(url, options) as store:
            yield store


def work_on(
    store: ConfiguredStore, chunk: int, count: int, sharded: bool
) -> dict[str, Callable[[], Any]]:
    """What is done with an array, by name."""
    array = zarr.create_array(
        store=store,
        name="array",
        shape=(chunk * count,),
        chunks=(chunk,),
        shards=(chunk * CHUNKS_A_SHARD,) if sharded else None,
        dtype="u1",
        compressors=None,
        overwrite=True,
    )
    data = np.random.default_rng(1).integers(1, 256, chunk * count, dtype="u1")
    # One number of every fourth chunk: chunks that do not touch.
    some = np.arange(0, chunk * count, 4 * chunk)

    def write() -> None:
        array[:] = data

    def read() -> None:
        assert array[chunk - 1] == data[chunk - 1]
        assert len(array[:]) == len(data)

    def read_some() -> None:
        assert np.array_equal(array.oindex[some], data[some])

    write()
    return {"write": write, "read": read, "read a fourth of the chunks": read_some}


def seconds(store: ConfiguredStore, work: Callable[[], Any], blocks: bool) -> float:
    """How long it takes once."""
    store.blocks = blocks
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=PLACES)
    parser.add_argument("--threads", type=int, help="zarr's own number, a thread a core, if none")
    given = parser.parse_args()
    zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})
    zarr.config.set({"codec_pipeline.max_workers": given.threads})
    print("| place | chunks | work | ms, awaiting | blocking |")
    print("| --- | --- | --- | ---: | ---: |")
    for place in given.places:
        with store_at(place) as store:
            for chunk, count in ARRAYS:
                for sharded in (False, True):
                    shown = f"{count} of {chunk // KIB} KiB{', sharded' * sharded}"
                    for name, work in work_on(store, chunk, count, sharded).items():
                        awaiting, blocking = [], []
                        for _ in range(given.rounds):
                            awaiting.append(seconds(store, work, False))
                            blocking.append(seconds(store, work, True))
                        took, ratio = min(awaiting) * 1e3, min(awaiting) / min(blocking)
                        print(
                            f"| {place} | {shown} | {name} | {took:.0f} | {ratio:.1f} |", flush=True
                        )


if __name__ == "__main__":
    main()
