"""``info``: what a place can do."""

from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from ..frame import command
from ..help import PLACES
from ..output import Output
from ..place import Place
from ..text import human_size

if TYPE_CHECKING:
    from ... import FsspecStore

#: What no store allows in a key.
_FORBIDDEN = "empty segments, '.' and '..' as segments, NUL"


@command(
    PLACES,
    examples=[
        ("s3://bucket/climate.zarr", "What the store there can do, and by which library"),
        ("--probe --json s3://bucket/tmp", "Also what only a write shows, as JSON"),
    ],
)
def info(
    place: Place,
    output: Output,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Write below a temporary prefix, which is removed."),
    ] = False,
) -> None:
    """Show what a place can do.

    It sends one request: a listing, where the service lists keys. "-" is not known. Without
    --probe, atomic create and compare-and-swap are those of the service's protocol: some services
    ignore the conditions, which only a write shows.
    """
    import asyncio
    from importlib.metadata import PackageNotFoundError, version

    def version_of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    with place.open(read_only=not probe) as store:
        is_empty = store.sync.is_empty("") if store.supports_listing else None
        if is_empty is None:
            store.sync.exists("zarr.json")
        if probe and store.supports_writes:
            asyncio.run(_probe(store))
        library = type(store.fs).__module__.partition(".")[0]
        facts: dict[str, Any] = {
            "url": store.url,
            "empty": is_empty,
            "writes": store.supports_writes,
            "deletes": store.supports_deletes,
            "listing": store.supports_listing,
            "partial_writes": store.supports_partial_writes,
            "atomic_create": store.supports_atomic_create,
            "compare_and_swap": store.supports_compare_and_swap,
            "lists_in_order": store.lists_in_order or (False if probe else None),
            **_service(store),
            "filesystem": f"{type(store.fs).__module__}.{type(store.fs).__qualname__}",
            "fsspec-store": version_of("fsspec-store"),
            "fsspec": version_of("fsspec"),
        }
        if library not in facts:
            facts[library] = version_of(library)
    if not output.json:
        facts = {
            name.removesuffix("_bytes"): _shown(value, in_bytes=name.endswith("_bytes"))
            for name, value in facts.items()
        }
    output.pairs(facts)


def _service(store: "FsspecStore") -> dict[str, Any]:
    """Transport, versions and limits of the service of a store, after a request."""
    backend, stats = store._backend, store.stats
    traits, limits, writes = backend.traits, backend.part_limits, backend.settings.writes
    has_parts = limits.largest_request is not None
    return {
        "copies_on_service": bool(traits.largest_copy),
        "versions": traits.versions if store.supports_compare_and_swap else None,
        "listed_checksums": list(traits.listed_checksums),
        "service": _name(store, backend.address),
        "transport": _transport(store),
        # That of all transports.
        "http_version": None if backend.address is None else "1.1",
        "tls": None if backend.address is None else backend.address.startswith("https:"),
        "requests_at_once": None if stats.limiter is None else stats.limiter.most,
        "largest_request_bytes": limits.largest_request,
        "in_parts_above_bytes": writes.above if has_parts else None,
        "part_size_bytes": writes.size if has_parts else None,
        "largest_part_bytes": limits.largest,
        "most_parts": limits.most,
        "longest_key": traits.longest_key,
        "forbidden_in_keys": f"{traits.forbidden}, {_FORBIDDEN}"
        if traits.forbidden
        else _FORBIDDEN,
    }


async def _probe(store: "FsspecStore") -> None:
    """Write a key with each condition, and list after it: the store then knows what works."""
    from ... import Buffer
    from ...errors import UnsupportedOperationError

    prefix = f".fsspec-store-probe-{uuid4().hex}"
    key, value = f"{prefix}/a/b", Buffer.from_bytes(b"probe")
    async with aclosing(store):
        try:
            await store.set(key, value)
            with suppress(UnsupportedOperationError):
                await store.set_if_not_exists(key, value)
            with suppress(UnsupportedOperationError):
                found = await store.get_version(key)
                if found is not None:
                    await store.set(key, value, if_match=found.version)
            if store.supports_listing:
                entries = store.list_entries(f"{prefix}/a", start_after=f"{prefix}/a.")
                async with aclosing(entries):
                    await anext(entries, None)
        finally:
            await store.delete_dir(prefix)


def _name(store: "FsspecStore", address: str | None) -> str:
    """The protocol of a filesystem and, where it is known, the service's address."""
    from ..._core.redaction import public_url
    from ..._core.urls import protocols

    protocol = protocols(store.fs)[0]
    return f"{protocol} at {public_url(address)}" if address else protocol


def _transport(store: "FsspecStore") -> str | None:
    """The transport of the requests so far; ``None`` where no request is counted."""
    if not store.stats.requests:
        return None
    return "native" if store.stats.native else "library"


def _shown(value: Any, *, in_bytes: bool) -> Any:
    if in_bytes and value is not None:
        return human_size(value)
    return ", ".join(value) or None if isinstance(value, list) else value
