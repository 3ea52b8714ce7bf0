"""``stat``: size and version of a key."""

from ..frame import command
from ..output import Output
from ..place import Place

#: Larger values are not read for their version.
_VERSION_BYTES = 16 * 2**20


@command(
    examples=[
        ("s3://bucket/climate.zarr/zarr.json", "Size and ETag of a key"),
        ("--json ./climate.zarr/zarr.json", "The same as one JSON document"),
    ]
)
def stat(place: Place, output: Output) -> None:
    """Show the size of a key and, where the service has versions, its version.

    The version is an ETag, a generation or a digest. It is not shown for values above 16 MiB.
    """
    above, key = place.split()
    version: str | None = None
    with above.open() as store:
        size = store.sync.getsize(key)
        if store.supports_compare_and_swap and size <= _VERSION_BYTES:
            found = store.sync.get_version(key)
            if found is not None:
                size, version = len(found.value), found.version
    output.pairs({"key": key, "url": above.shown, "size": size, "version": version})
