"""``info``: what a place can do."""

from typing import Any

from ..frame import command
from ..output import Output
from ..place import Place


@command(
    examples=[
        ("s3://bucket/climate.zarr", "What the store there can do, and by which library"),
        ("--json --anon s3://open-data/climate.zarr", "The same as JSON, without credentials"),
    ]
)
def info(place: Place, output: Output) -> None:
    """Show what a place can do. Sends one request, a listing where the service lists keys.

    Atomic create and compare-and-swap are those of the service's API. Some services ignore the
    conditions, which only a write shows.
    """
    from importlib.metadata import PackageNotFoundError, version

    def version_of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    with place.open() as store:
        is_empty = store.sync.is_empty("") if store.supports_listing else None
        if is_empty is None:
            store.sync.exists("zarr.json")
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
            "service": _service(store.fs),
            "transport": _transport(store.stats),
            "filesystem": f"{type(store.fs).__module__}.{type(store.fs).__qualname__}",
            "fsspec-store": version_of("fsspec-store"),
            "fsspec": version_of("fsspec"),
        }
        if library not in facts:
            facts[library] = version_of(library)
    output.pairs(facts)


def _service(fs: Any) -> str:
    """The protocol of a filesystem and, where it is configured, the service's address."""
    from ..._core.redaction import public_url
    from ..._core.urls import protocols

    options = {**getattr(fs, "client_kwargs", {}), **fs.storage_options}
    endpoint = options.get("endpoint_url") or getattr(fs, "endpoint_url", None)
    protocol = protocols(fs)[0]
    return f"{protocol} at {public_url(str(endpoint))}" if endpoint else protocol


def _transport(stats: Any) -> str | None:
    """The transport of the requests so far; ``None`` where no request is counted."""
    if not stats.requests:
        return None
    return "native" if stats.native else "library"
