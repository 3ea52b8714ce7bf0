"""`check`: which keys of a data set are missing, broken, or belong to nothing."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from .._runtime.cluster import connect
from .._runtime.concurrency import for_each
from .._store.keys import check_prefix
from ..errors import ByteRangeError
from .cluster import ClusterDecoder
from .consolidated import compare_consolidated
from .decoding import Decoder
from .errors import DatasetError
from .expectation import Required
from .findings import MAX_EXAMPLES, Findings
from .metadata import GroupMetadata
from .report import ArrayReport, Report
from .scan import Scan
from .shard_index import index_error, index_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from distributed import Client

    from .._store.contract import Store
    from .array_scan import ArrayScan, Shard
    from .chunk_set import ChunkSet
    from .findings import Finding, Kind

__all__ = ["Progress", "check"]

#: Decoded chunks between two calls of `on_progress`.
_PROGRESS_CHUNKS = 64


@dataclass(frozen=True)
class Progress:  # numpydoc ignore=PR02
    """How far a check is.

    Parameters
    ----------
    stage : {"list", "decode"}
        The listing, or the decoding of ``deep=True``.
    keys : int
        Keys that were listed.
    bytes : int or None
        Size of their values; ``None`` if the service lists no sizes.
    chunks : int
        Present chunks that were found, or chunks to decode.
    decoded : int
        Chunks that were decoded.
    found : Findings
        Counts the findings so far.
    """

    stage: Literal["list", "decode"]
    keys: int
    bytes: int | None
    chunks: int
    decoded: int = 0
    found: Findings = field(default_factory=Findings, repr=False, compare=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings so far, by path and kind. Missing chunks are counted at the end only."""
        return self.found.sorted()


async def check(
    store: Store,
    *,
    prefix: str = "",
    deep: bool = False,
    shards: bool = False,
    allow_missing: bool | Iterable[str] = (),
    expectation: Mapping[str, Any] | None = None,
    concurrency: int = 16,
    on_progress: Callable[[Progress], object] | None = None,
    client: Client | str | None = None,
) -> Report:
    """Check which keys of a zarr data set are missing, broken, or belong to nothing.

    The keys are listed once. There are one (zarr v3) or two (v2) requests for each group and array,
    and none for a chunk. A listing shows chunks that are missing, outside of the grid, empty, or
    of another size than chunks without compression have.

    Parameters
    ----------
    store : Store
        A store that supports listing.
    prefix : str, optional
        Path of the data set, a group or array, in the store.
    deep : bool, optional
        Decode every chunk with zarr. Needs an `fsspec_store.FsspecStore`. Includes ``shards``.
    shards : bool, optional
        Read and verify the index of each shard: one request for each shard.
    allow_missing : bool or iterable of str, optional
        Patterns of the arrays whose chunks may be missing, as in ``fnmatch``: ``"model/*"``. True
        is all arrays.
    expectation : mapping, optional
        A result of `Report.expectation`: for its arrays exactly these chunks have to be present.
    concurrency : int, optional
        Shards or chunks that are read at once, ``>= 1``.
    on_progress : callable, optional
        Is called with a `Progress` after each few thousand keys and each few decoded chunks.
    client : dask.distributed.Client or str, optional
        Decode the chunks in tasks on this Dask cluster, or on that of this scheduler's address.
        ``concurrency`` is then also the number of chunks of one task at once.

    Returns
    -------
    Report
        Counts and findings. Its `Report.ok` is whether the data set is complete and intact.

    Raises
    ------
    DatasetError
        When there is no readable zarr metadata at the prefix, or the expectation is invalid.
    StoreError
        When the store cannot be read or listed.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency!r}")
    if client is not None and not deep:
        raise ValueError("client needs deep=True: only the decoding runs on a cluster")
    required = Required(allow_missing, expectation)
    scan = Scan(store, check_prefix(prefix).strip("/"), reads_indexes=shards or deep)

    def report_progress(stage: Literal["list", "decode"], chunks: int, decoded: int = 0) -> None:
        if on_progress is not None:
            on_progress(Progress(stage, scan.keys, scan.bytes, chunks, decoded, scan.findings))

    async with _decoder(store, deep, concurrency, client) as decoder:
        pages = scan.pages()
        async with aclosing(pages):
            async for page in pages:
                await for_each(partial(_verify_index, store), page, limit=concurrency)
                report_progress("list", scan.chunks)
        await compare_consolidated(scan, store)
        arrays = [scan.arrays[path] for path in sorted(scan.arrays)]
        if decoder is not None:
            total = sum(len(array.present - array.broken) for array in arrays)
            decoded = 0
            chunks = decoder.decode(arrays, scan.nodes.zarr_format)
            async with aclosing(chunks):
                async for _ in chunks:
                    decoded += 1
                    if decoded % _PROGRESS_CHUNKS == 0 or decoded == total:
                        report_progress("decode", total, decoded)
    reports = tuple(_array_report(array, required) for array in arrays)
    # An array whose metadata cannot be read is not missing.
    unreadable = (node.path for node in scan.nodes if isinstance(node.metadata, DatasetError))
    for path in required.absent(map(scan.relative, [*scan.arrays, *unreadable])):
        scan.findings.add("missing_array", path, path)
    return Report(
        prefix=scan.nodes.root.path,
        zarr_format=scan.nodes.zarr_format,
        groups=sum(isinstance(node.metadata, GroupMetadata) for node in scan.nodes),
        arrays=reports,
        findings=scan.findings.sorted(),
        keys=scan.keys,
        bytes=scan.bytes,
    )


@asynccontextmanager
async def _decoder(
    store: Store, deep: bool, concurrency: int, client: Client | str | None
) -> AsyncGenerator[Decoder | None, None]:
    if not deep:
        yield None
        return
    decoder = Decoder(store, concurrency=concurrency)
    async with connect(client, decoder.store) as cluster:
        if cluster is not None:
            decoder = ClusterDecoder(cluster, store, concurrency=concurrency)
        yield decoder


async def _verify_index(store: Store, shard: Shard) -> None:
    """Read the index of a shard, and count the shard if the index is damaged."""
    sharding = shard.array.metadata.codecs.sharding
    assert sharding is not None
    try:
        value = await store.get(shard.key, None, index_request(sharding))
    except ByteRangeError:
        # An empty shard of a service that lists no sizes.
        value = None
    # A shard that was deleted after it was listed has no bytes.
    index = b"" if value is None else value.to_bytes()
    reason = index_error(sharding, index, shard.size)
    if reason is not None:
        shard.array.add_broken("shard_index", shard.number, shard.key, reason)


def _array_report(scan: ArrayScan, required: Required) -> ArrayReport:
    """The report of an array, and findings of missing chunks."""
    chunks = required.chunks(scan.path, scan.metadata, scan.findings)
    missing = chunks - scan.present
    may_miss = required.may_miss(scan.path)
    if not may_miss:
        _add_chunks("missing_chunk", missing, scan)
    _add_chunks("unexpected_chunk", scan.present - chunks, scan)
    return ArrayReport(
        scan.path, scan.metadata, scan.present, missing, scan.broken, may_miss, scan.bytes
    )


def _add_chunks(kind: Kind, chunks: ChunkSet, scan: ArrayScan) -> None:
    """Count chunks as findings, the first ones as examples."""
    examples = list(islice(chunks, MAX_EXAMPLES))
    further = len(chunks) - len(examples)
    for number in examples:
        scan.findings.add(kind, scan.path, scan.key(number), count=1 + further)
        further = 0
