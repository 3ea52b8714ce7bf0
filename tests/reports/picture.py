"""The picture of a report in the documentation, by Chromium from a real check.

Writes ``docs/images/report.png``: ``PYTHONPATH=tests python -m reports.picture``.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import zarr
from servers.chromium import chromium_browser

from fsspec_store.dataset import Report, blocking
from fsspec_store.reports import check_page
from fsspec_store.zarr import open_store

_IMAGE = Path(__file__).parents[2] / "docs/images/report.png"


def damaged_climate() -> Report:
    """The check of a data set that an interrupted copy left behind, with three cut values."""
    store = open_store("memory://climate")
    group = zarr.create_group(store, overwrite=True)
    air = group.create_array(
        "air", shape=(360, 6, 8), chunks=(10, 1, 1), dtype="u1", compressors=None
    )
    air[:] = 1
    keys = sorted(
        (store.sync.list_prefix("air/c/")), key=lambda key: [*map(int, key.split("/")[2:])]
    )
    for key in (*keys[830:890], *keys[1000:1023], *keys[1500:1700:7]):
        store.sync.delete(key)
    for key in keys[401:404]:
        store.sync.set(key, store.sync.get(keys[0])[:3])
    return blocking.check(store)


def main() -> None:
    document = check_page(
        damaged_climate(),
        url="s3://weather/climate.zarr",
        command="fsspec-store check --html report.html s3://weather/climate.zarr",
        seconds=0.4,
        date=datetime(2026, 11, 28, 12, tzinfo=UTC),
    )
    with tempfile.TemporaryDirectory() as folder, chromium_browser() as browser:
        path = Path(folder, "report.html")
        path.write_text(document, encoding="utf-8")
        page = browser.new_page(viewport={"width": 680, "height": 1290})
        page.goto(path.as_uri())
        page.locator("figure[data-ready]").wait_for()
        box = page.get_by_role("application").bounding_box()
        assert box is not None
        # Row 17, column 34 of 36 by 48 cells.
        page.mouse.move(box["x"] + box["width"] * 34.5 / 48, box["y"] + box["height"] * 17.5 / 36)
        page.screenshot(path=_IMAGE)


if __name__ == "__main__":
    main()
