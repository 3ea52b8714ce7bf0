"""A small climate data set in a bucket: written, read by range, listed, sized, published, checked.

    python examples/demo.py

Starts an S3 server of its own (moto) on this machine, writes arrays with zarr through the store,
reads them back by URL in several ways that must agree, publishes a folder with the command
``fsspec-store``, and leaves nothing behind. Exits with an error when anything is not as it should
be.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import numpy as np
import zarr
from array_reader import open_array
from botocore.config import Config
from moto.server import ThreadedMotoServer
from zarr.codecs import GzipCodec

from fsspec_store import Buffer, RangeByteRequest, SuffixByteRequest
from fsspec_store.errors import ReadOnlyError
from fsspec_store.zarr import ZarrStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

#: The server is on this machine, whatever proxy the rest of the network needs.
NO_PROXY: dict[str, Any] = {"proxies": {}}

URL = "s3://demo-bucket/climate.zarr"
SHAPE = DAYS, LATITUDES, LONGITUDES = 48, 180, 360
CHUNKS = (12, 90, 180)
SHARDS, INNER_CHUNKS = (24, 180, 180), (12, 45, 90)
FIRST_SHARD = "sharded/c/0/0/0"


@contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """An S3 server with an empty bucket; yields the storage options that lead to it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="demo",
            aws_secret_access_key="demo",
            config=Config(**NO_PROXY),
        )
        client.create_bucket(Bucket="demo-bucket")
        client.close()
        yield {"key": "demo", "secret": "demo", "endpoint_url": url, "config_kwargs": NO_PROXY}
    finally:
        server.stop()


def temperature() -> npt.NDArray[np.float32]:
    """A field in degrees Celsius: cold poles, a wave around the globe, a slow seasonal swing."""
    day = np.arange(DAYS)[:, None, None]
    latitude = np.radians(latitudes())[None, :, None]
    longitude = np.radians(np.arange(LONGITUDES))[None, None, :]
    season = 5 * np.sin(latitude) * np.cos(2 * np.pi * day / DAYS)
    wave = 3 * np.cos(latitude) * np.sin(4 * longitude + day / 8)
    field: npt.NDArray[np.float64] = np.round(42 * np.cos(latitude) - 20 + season + wave, 2)
    return field.astype(np.float32)


def latitudes() -> npt.NDArray[np.float32]:
    return np.arange(LATITUDES, dtype=np.float32) - np.float32(89.5)


def write(store: ZarrStore, field: npt.NDArray[np.float32]) -> None:
    """Write the field twice, in gzip chunks and in shards, beside its coordinate."""
    root = zarr.create_group(store=store)
    names = ("day", "latitude", "longitude")
    latitude = root.create_array("latitude", shape=LATITUDES, dtype="f4", compressors=None)
    latitude[:] = latitudes()
    gzipped = root.create_array(
        "gzipped",
        shape=SHAPE,
        chunks=CHUNKS,
        dtype="f4",
        compressors=GzipCodec(level=1),
        dimension_names=names,
    )
    gzipped[:] = field
    sharded = root.create_array(
        "sharded",
        shape=SHAPE,
        shards=SHARDS,
        chunks=INNER_CHUNKS,
        dtype="f4",
        compressors=None,
        dimension_names=names,
    )
    sharded[:] = field


async def show_bytes(store: ZarrStore, field: npt.NDArray[np.float32]) -> None:
    """Read parts of one shard, and compare the first of its values."""
    size = await store.getsize(FIRST_SHARD)
    print(f"one shard     {FIRST_SHARD}, {size:,} bytes")

    first = await store.get(FIRST_SHARD, byte_range=RangeByteRequest(0, 16))
    # Four values of the 45th row of the shard's first inner chunk.
    part = await store.get(FIRST_SHARD, byte_range=RangeByteRequest(15_840, 15_856))
    index = await store.get(FIRST_SHARD, byte_range=SuffixByteRequest(4 + 16 * 16))
    for name, value in (("first bytes", first), ("15,840-15,856", part)):
        print(f"{name:13} {as_floats(value)}")
    expect(np.array_equal(as_floats(first), field[0, 0, :4]), "the shard's first bytes")
    expect(np.array_equal(as_floats(part), field[0, 44, :4]), "a byte range of the shard")
    expect(index is not None and len(index) == 260, "the last bytes of the shard")
    print("last 260      the index: 16 offsets and lengths, and a checksum")


def as_floats(value: Any) -> npt.NDArray[np.float32]:
    return np.frombuffer(value.to_bytes(), "<f4")


async def show_keys(store: ZarrStore) -> None:
    """List and size without reading a value."""
    print("children     ", *sorted([name async for name in store.list_dir("")]))
    print("keys         ", len([key async for key in store.list()]))
    print(f"all shards    {await store.getsize_prefix('sharded/c'):,} bytes")


async def show_slices(store: ZarrStore, field: npt.NDArray[np.float32]) -> None:
    """Read one block with zarr and with the reader beside this file."""
    block = (slice(10, 14), slice(88, 92), 7)
    print(f"a block       [10:14, 88:92, 7] of a field of {SHAPE}")
    for name in ("gzipped", "sharded"):
        # zarr waits for a loop of its own, which the same store serves as well.
        by_zarr = await asyncio.to_thread(read_with_zarr, store, name, block)
        array = await open_array(store, name)
        by_reader = await array.read(block)
        expect(np.array_equal(by_zarr, field[block]), f"{name} as zarr reads it")
        expect(np.array_equal(by_reader, field[block]), f"{name} as array_reader reads it")
        print(f"{name:13} zarr and array_reader agree, mean {by_reader.mean():.2f} C")


def read_with_zarr(store: ZarrStore, name: str, block: tuple[Any, ...]) -> Any:
    return zarr.open_array(store, path=name, mode="r")[block]


async def show_writes(store: ZarrStore) -> None:
    """Create a key that only one writer can create, and be refused."""
    for writer in ("first", "second"):
        await store.set_if_not_exists("owner.txt", Buffer.from_bytes(writer.encode()))
    owner = await store.get("owner.txt")
    expect(owner is not None and owner.to_bytes() == b"first", "the first writer's value")
    print("created once  owner.txt holds 'first', not 'second'")

    frozen = store.with_read_only(True)
    try:
        await frozen.delete("owner.txt")
    except ReadOnlyError as error:
        print(f"refused       {error}")
    else:
        expect(False, "a delete in a read-only store was not refused")


def show_commands(options: dict[str, Any], field: npt.NDArray[np.float32]) -> None:
    """Publish a folder with the command, lose a chunk, and publish again."""
    url = "s3://demo-bucket/published.zarr"
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
        "AWS_ENDPOINT_URL": options["endpoint_url"],
        "NO_PROXY": "127.0.0.1",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.create_group(open_store(Path(folder) / "climate.zarr"))
        root.create_array("air", data=field, chunks=CHUNKS, compressors=None)
        for line, code in (
            (f"sync climate.zarr {url}", 0),
            (f"rm {url}/air/c/1/0/1", 0),
            (f"check {url}", 1),
            (f"sync climate.zarr {url}", 0),
            (f"check {url}", 0),
        ):
            print(f"$ fsspec-store {line}", flush=True)
            ended = subprocess.run(
                [sys.executable, "-m", "fsspec_store", *shlex.split(line)],
                cwd=folder,
                env=environment,
                stderr=subprocess.STDOUT,
                check=False,
            )
            expect(ended.returncode == code, f"exit code {ended.returncode}, not {code}")


def expect(fact: Any, what: str) -> None:
    if not fact:
        sys.exit(f"MISMATCH: {what}")


async def look(url: str, options: dict[str, Any], field: npt.NDArray[np.float32]) -> None:
    async with open_store(url, options) as store:
        print(f"store         {store!r}")
        await show_keys(store)
        await show_bytes(store, field)
        await show_slices(store, field)
        await show_writes(store)


def main() -> None:
    field = temperature()
    with s3_server() as options:
        with open_store(URL, options) as store:
            write(store, field)
        asyncio.run(look(URL, options, field))
        print()
        show_commands(options, field)
    print("\nEverything read is what was written.")


if __name__ == "__main__":
    main()
