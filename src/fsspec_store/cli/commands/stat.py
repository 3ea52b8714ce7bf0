"""``stat``: size, time, version and checksums of a key."""

from ..frame import command
from ..help import LOOK
from ..listed import described
from ..missing import keys_below_noted
from ..output import Output
from ..place import Place


@command(
    LOOK,
    examples=[
        ("s3://bucket/climate.zarr/zarr.json", "Size, time of the last change, and ETag of a key"),
        ("--json ./climate.zarr/zarr.json", "The same as one JSON document"),
    ],
)
def stat(place: Place, output: Output) -> None:
    """Show what a service states about a key. The value is not read.

    The size, the time of the last change in UTC, the version (an ETag or a generation), and
    checksums: what the service does not state is "-".
    """
    above, key = place.split()
    with above.open() as store, keys_below_noted(store, key):
        entry = store.sync.get_entry(key)
    shown = {"key": key, "url": above.shown, **described(entry)}
    if not output.json:
        shown |= shown.pop("checksums")
    output.pairs(shown)
