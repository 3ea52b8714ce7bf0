"""The pages in Chromium: no request, no error, narrow and dark, without scripts, and zooming."""

from __future__ import annotations

import math
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from fsspec_store.dataset import ChunkSet
from fsspec_store.reports import check_page, failed_page, transfer_page
from reports.conftest import Opened
from reports.samples import (
    HOSTILE_KEYS,
    HOSTILE_PATH,
    HOSTILE_URL,
    array_report,
    hostile_report,
    hostile_result,
    report_of,
)

#: A browser draws each page, and some of them several times.
pytestmark = pytest.mark.slow

Open = Callable[..., Opened]

#: Each text with its colour and that of the first opaque background behind it.
_COLORS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script")) continue;
    if (element.closest("button:disabled")) continue;
    let behind = element;
    const fill = () => getComputedStyle(behind).backgroundColor;
    while (fill() === "rgba(0, 0, 0, 0)" && behind.parentElement) behind = behind.parentElement;
    found.push([walker.currentNode.data, getComputedStyle(element).color, fill()]);
  }
  return found;
}"""
_OVERFLOWS = """() => [...document.querySelectorAll("body *")]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 200))"""


def damaged() -> str:
    """A page with maps of all kinds of grids."""
    return check_page(
        report_of(
            array_report("t2m", (48, 20, 4), missing=[*range(700, 740), 3000], broken=[85, 86]),
            array_report("sparse", (8, 12), missing=[7, 8], missing_allowed=True),
            array_report("time", (500,), missing=[0, 64, 499], absent=[1, 2]),
            array_report(
                "old",
                (3, 5),
                missing=[14],
                chunk_key_encoding={"name": "v2", "configuration": {"separator": "."}},
            ),
            array_report("scalar", (), broken=[0]),
        ),
        url="s3://bucket/era5.zarr",
        command="fsspec-store check --html report.html s3://bucket/era5.zarr",
        seconds=2.5,
    )


PAGES = {
    "check": damaged,
    "hostile check": lambda: check_page(hostile_report(), url=HOSTILE_URL, command="c " * 300),
    "hostile sync": lambda: transfer_page(
        hostile_result(), title=f"Sync to {HOSTILE_URL}", source="a" * 500, target=HOSTILE_URL
    ),
    "failed": lambda: failed_page("no <b>bucket</b>", title="Check", urls={"URL": HOSTILE_URL}),
}


@pytest.fixture(params=PAGES)
def document(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_a_page_sends_no_request_and_logs_nothing(document: str, open_page: Open) -> None:
    opened = open_page(document)
    page = opened.ready()
    for pane in page.get_by_role("application").all():
        pane.press("Enter")
        pane.press("Escape")
    assert [url.partition(":")[0] for url in opened.requests] == ["file"]
    assert opened.messages == []


def test_the_policy_forbids_what_a_page_does_not_have(open_page: Open) -> None:
    attack = '<script>window.attacked=1</script><img src="http://127.0.0.1:9/x"></main>'
    opened = open_page(damaged().replace("</main>", attack))
    assert opened.page.evaluate("window.attacked") is None
    assert len(opened.messages) == 2
    assert all("Content Security Policy" in message for message in opened.messages)


def test_hostile_texts_create_no_elements(open_page: Open) -> None:
    page = open_page(PAGES["hostile check"]()).ready()
    assert page.evaluate("window.attacked") is None
    assert page.locator("script:not([type])").count() == 1
    assert page.locator("img, iframe, [onerror], [onmouseover]").count() == 0
    text = page.locator("body").inner_text()
    assert HOSTILE_PATH in text
    assert HOSTILE_URL in text
    assert HOSTILE_KEYS[0] in text
    assert "\\u202egnp.exe" in text
    assert "\\x1b[31m\\nline" in text
    page.get_by_role("application").first.focus()
    assert f"{HOSTILE_PATH}/c/0/0" in page.get_by_role("status").first.inner_text()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_is_wider_than_a_phone(document: str, scripts: bool, open_page: Open) -> None:
    opened = open_page(
        document, viewport={"width": 320, "height": 640}, java_script_enabled=scripts
    )
    page = opened.page
    if scripts:
        opened.ready()
        for pane in page.get_by_role("application").all():
            pane.press("End")
            pane.press("ArrowDown")
            assert page.evaluate(_OVERFLOWS) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert page.evaluate(_OVERFLOWS) == []


def _luminance(color: str) -> float:
    parts = color.partition("(")[2].rstrip(")").split(",")
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (float(part) / 255 for part in parts[:3])
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def _contrast(first: str, second: str) -> float:
    light, dark = sorted(map(_luminance, (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_texts_and_maps(scheme: str, document: str, open_page: Open) -> None:
    page = open_page(document, color_scheme=scheme).ready()
    for pane in page.get_by_role("application").all()[:1]:
        pane.focus()
    found = page.evaluate(_COLORS)
    assert len(found) > 5
    assert [each for each in found if _contrast(each[1], each[2]) < 4.5] == []
    if not page.locator("figure").count():
        return
    style = "([name, property]) => getComputedStyle(document.querySelector(name))[property]"
    background = page.evaluate(style, ["body", "backgroundColor"])
    for name, part in (
        (".present", "fill"),
        ("#missing .over", "fill"),
        ("#allowed .over", "fill"),
        ("#broken .under", "fill"),
        ("#absent .over", "fill"),
    ):
        assert _contrast(page.evaluate(style, [name, part]), background) >= 3, name


def test_dark_mode_has_other_colors(open_page: Open) -> None:
    color = "getComputedStyle(document.body).backgroundColor"
    light, dark = (
        open_page(damaged(), color_scheme=scheme).page.evaluate(color)
        for scheme in ("light", "dark")
    )
    assert _luminance(light) > 0.8
    assert _luminance(dark) < 0.1


def test_without_scripts_totals_findings_and_maps_are_there(open_page: Open) -> None:
    page = open_page(damaged(), java_script_enabled=False).page
    text = page.locator("body").inner_text()
    for part in (
        "Not complete: 48 errors",
        "fsspec-store check --html report.html s3://bucket/era5.zarr",
        "3,799 of 3,840 chunks present, 41 missing, 2 broken",
        "missing chunk in t2m: 41",
        "t2m/c/8/15/0",
        "and 31 more keys",
        "94 of 96 chunks present, 2 missing (allowed)",
        "Rows: dimension 0. Columns: dimensions 1, 2. A cell is 1 by 2 chunks",
    ):
        assert part in text
    assert page.get_by_role("button").count() == 0
    maps = page.locator("figure > svg")
    assert maps.count() == 5
    for box in (each.bounding_box() for each in maps.all()):
        assert box is not None
        assert min(box["width"], box["height"]) >= 8


def test_kinds_differ_without_colors(open_page: Open) -> None:
    """A pattern has two colours within a cell, and present chunks have one."""
    report = report_of(array_report("a", (1, 4), missing=[1], broken=[2], absent=[3]))
    page = open_page(check_page(report), device_scale_factor=4, java_script_enabled=False).page
    png = page.locator("figure > svg").screenshot()
    pixels = np.mean(matplotlib.image.imread(BytesIO(png))[..., :3], axis=2)
    cells = np.array_split(pixels[8:-8], 4, axis=1)
    ranges = [float(np.ptp(cell[:, 8:-8])) for cell in cells]
    assert ranges[0] < 0.01
    assert min(ranges[1:]) > 0.2
    shapes = [cell[:, 8:72] > cell.mean() for cell in cells[1:]]
    for one, other in combinations(shapes, 2):
        assert 0.2 < float((one != other).mean()) < 0.8


def test_the_script_draws_the_pictures_of_the_page(open_page: Open) -> None:
    paths = """() => [...document.querySelectorAll("figure.map > svg, .pane > svg")]
      .map((svg) => [...svg.querySelectorAll("path")]
        .map((path) => [path.getAttribute("class"), path.getAttribute("d")]).sort())"""
    document = damaged()
    drawn = open_page(document).ready().evaluate(paths)
    assert len(drawn) == 5
    assert drawn == open_page(document, java_script_enabled=False).page.evaluate(paths)


def _keys(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_keys_select_chunks_and_zoom(open_page: Open) -> None:
    page = open_page(damaged()).ready()
    figure = page.locator("figure").first
    tip = figure.get_by_role("status")
    page.keyboard.press("Tab")
    while not figure.locator(".pane:focus").count():
        page.keyboard.press("Tab")
    assert tip.inner_text() == "chunks (0, 0, 0) to (0, 0, 1): 2 present\nt2m/c/0/0/0 …"
    # Chunks 85 and 86 are (1, 1, 1) and (1, 1, 2).
    _keys(page, *["ArrowRight"] * 2, "ArrowDown")
    assert tip.inner_text() == "chunks (1, 1, 0) to (1, 1, 1): 1 present; 1 broken\nt2m/c/1/1/0 …"
    _keys(page, "ArrowRight")
    _keys(page, "Enter")
    assert figure.get_by_text("A cell is a chunk.").count() == 1
    assert figure.get_by_text("rows 0 to 11, columns 0 to 19").count() == 1
    assert tip.inner_text() == "chunk (1, 1, 2): broken\nt2m/c/1/1/2"
    _keys(page, "ArrowRight")
    assert tip.inner_text() == "chunk (1, 1, 3): present\nt2m/c/1/1/3"
    _keys(page, "Escape")
    assert figure.get_by_text("A cell is 1 by 2 chunks").count() == 1
    _keys(page, *["ArrowUp"] * 9, *["ArrowLeft"] * 9)
    assert tip.inner_text().startswith("chunks (0, 0, 0)")
    _keys(page, "+", "+", "-", "Home")
    assert figure.get_by_role("button", name="Whole map").is_disabled()


def test_clicks_and_buttons_zoom(open_page: Open) -> None:
    page = open_page(damaged()).ready()
    figure = page.locator("figure").first
    whole, wider, closer = (
        figure.get_by_role("button", name=name) for name in ("Whole map", "Zoom out", "Zoom in")
    )
    assert (whole.is_disabled(), wider.is_disabled(), closer.is_disabled()) == (True, True, False)
    pane = figure.get_by_role("application")
    box = pane.bounding_box()
    assert box is not None
    pane.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
    assert figure.get_by_text("rows 36 to 47, columns 60 to 79").count() == 1
    closer.click()
    assert figure.get_by_text("rows 44 to 47, columns 75 to 79").count() == 1
    closer.click()
    assert closer.is_disabled()
    wider.click()
    assert figure.get_by_text("rows 32 to 47, columns 64 to 79").count() == 1
    whole.click()
    assert whole.is_disabled()
    pane.hover(position={"x": 1, "y": 1})
    assert figure.get_by_role("status").inner_text().startswith("chunks (0, 0, 0)")
    page.mouse.move(0, 0)
    assert figure.get_by_role("status").inner_text() == ""


def test_a_tap_zooms_and_names_the_chunk(open_page: Open) -> None:
    opened = open_page(
        damaged(), viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True
    )
    figure = opened.ready().locator("figure").first
    figure.get_by_role("application").tap(position={"x": 2, "y": 2})
    assert figure.get_by_text("rows 0 to 11, columns 0 to 19").count() == 1
    assert figure.get_by_role("status").inner_text().endswith("t2m/c/0/0/0")
    assert opened.page.evaluate(_OVERFLOWS) == []


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("sparse", (0, 7), "chunk (0, 7): missing, allowed\nsparse/c/0/7"),
        ("time", (0, 0), "chunk (0): missing\ntime/c/0"),
        ("time", (0, 1), "chunk (1): absent, not expected\ntime/c/1"),
        ("time", (1, 0), "chunk (64): missing\ntime/c/64"),
        ("time", (7, 51), "chunk (499): missing\ntime/c/499"),
        ("time", (7, 52), ""),
        ("old", (2, 4), "chunk (2, 4): missing\nold/2.4"),
        ("old", (9, 9), "chunk (2, 4): missing\nold/2.4"),
        ("scalar", (0, 0), "chunk (): broken\nscalar/c"),
    ],
)
def test_the_tooltip_names_the_chunk(
    name: str, place: tuple[int, int], text: str, open_page: Open
) -> None:
    page = open_page(damaged()).ready()
    section = page.locator("details", has=page.get_by_role("heading", name=name, exact=True))
    row, column = place
    section.get_by_role("application").focus()
    _keys(page, *["ArrowDown"] * row, *["ArrowRight"] * column)
    assert section.get_by_role("status").inner_text() == text


def test_a_complete_array_is_folded_and_opens(open_page: Open) -> None:
    page = open_page(check_page(report_of(array_report("a", (3, 4))))).ready()
    assert "Complete" in page.locator(".verdict").inner_text()
    assert not page.locator("figure").is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("figure").is_visible()
    page.locator("figure[data-ready]").wait_for()


def test_ten_million_chunks(open_page: Open) -> None:
    """Half of them missing at random, which cannot be compressed."""
    counts = (1000, 100, 100)
    count = math.prod(counts)
    bits = np.random.default_rng(1).bytes(count // 8)
    lost = ChunkSet.from_json(b64encode(zlib.compress(bits)).decode(), count)
    few = array_report("few", counts, [0, 4_000_000])
    random = replace(few, path="random", present=few.present - lost, missing=lost)
    document = check_page(report_of(few, replace(random, missing_allowed=True)))
    assert len(document) < 5_000_000
    page = open_page(document).ready()
    for figure, chunks in zip(page.locator("figure").all(), (few.missing, lost), strict=True):
        for _ in range(7):
            figure.get_by_role("application").click(position={"x": 1, "y": 1})
        kind = "missing" if 0 in chunks else "present"
        assert figure.get_by_role("status").inner_text().startswith(f"chunk (0, 0, 0): {kind}")
