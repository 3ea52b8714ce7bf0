"""Pictures of the command at a terminal, which Rich makes from real runs: ``make pictures``.

Writes ``docs/images/terminal-*.svg``. Knows the commands of each picture and the data set that they
are run on. Does not know which pages show them.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import zarr
from rich.console import Console
from rich.text import Text
from servers.moto import moto_server

from fsspec_store.zarr import open_store
from pages.places.publishing import environment
from pages.reader import ROOT
from pages.terminal import WIDTH, at_terminal

IMAGES = ROOT / "docs" / "images"

#: The commands of each picture, in the order in which they are run.
COMMANDS = {
    "sync": ["fsspec-store sync climate.zarr s3://weather/climate.zarr"],
    "check": [
        "fsspec-store rm -q s3://weather/climate.zarr/air/c/3/1/4",
        "fsspec-store rm -q s3://weather/climate.zarr/air/c/3/1/5",
        "fsspec-store check s3://weather/climate.zarr",
    ],
    "tree": [
        "fsspec-store tree --depth 2 s3://weather/climate.zarr",
        "fsspec-store du s3://weather/climate.zarr",
    ],
}

#: What comes before each frame of a progress bar, and after the last one.
_NEXT_FRAME = re.compile(r"\r(?:\x1b\[1A)?\x1b\[2K")
_CURSOR = re.compile(r"\x1b\[\?25[lh]")
#: Rich's fonts are files of a web server.
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_FONT, _ANY_FONT = "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
_LINE = re.compile(r'clip-path="url\(#[\w-]+-line-(\d+)\)">([^<]*)</text>')


def pictures(folder: Path) -> Iterator[tuple[str, str]]:
    """Run all commands in an empty folder, and yield the name and the SVG of each picture."""
    write_climate(folder / "climate.zarr")
    with moto_server() as endpoint:
        endpoint.client().create_bucket(Bucket="weather")
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        given = {**os.environ, **environment(endpoint), "PATH": path}
        for name, lines in COMMANDS.items():
            console = Console(record=True, width=WIDTH, file=io.StringIO())
            for line in lines:
                console.print(Text.assemble(("$ ", "green"), (line, "bold")))
                output = at_terminal(line, folder, given, "xterm-256color")
                if output:
                    console.print(Text.from_ansi(_one_frame(output)))
            svg = console.export_svg(title="fsspec-store", unique_id=f"terminal-{name}")
            yield name, _FONTS.sub("", svg).replace(_FONT, _ANY_FONT)


def write_climate(path: Path) -> None:
    group = zarr.create_group(open_store(path))
    chunks = (12, 45, 60)
    air = group.create_array(
        "air", shape=(240, 180, 360), chunks=chunks, dtype="f4", compressors=None
    )
    air[:] = np.arange(air.size, dtype="f4").reshape(air.shape)
    latitude = group.create_array("latitude", shape=180, dtype="f4", compressors=None)
    latitude[:] = np.linspace(-90, 90, 180)


def words(svg: str) -> list[str]:
    """The lines of text of a picture."""
    lines: defaultdict[int, str] = defaultdict(str)
    for number, text in _LINE.findall(svg):
        lines[int(number)] += unescape(text).replace("\N{NO-BREAK SPACE}", " ").rstrip("\n")
    return [line.rstrip() for _, line in sorted(lines.items()) if line.strip()]


def _one_frame(output: str) -> str:
    """An output with one frame of its progress bar, which the command removes at its end."""
    *frames, rest = _NEXT_FRAME.split(_CURSOR.sub("", output))
    shown = [frames[len(frames) * 3 // 4].rstrip()] if frames else []
    return "\n".join([*shown, rest.rstrip()])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, svg in pictures(Path(folder)):
            (IMAGES / f"terminal-{name}.svg").write_text(svg)


if __name__ == "__main__":
    main()
