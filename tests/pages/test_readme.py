"""What the README says of commands and files is so; its programs are run by `pages`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

from fsspec_store import Buffer, FsspecStore

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_counter_counts() -> None:
    (block,) = re.findall(r"```python\n(async def count_up.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {"Buffer": Buffer}
    exec(compile(block, "README.md", "exec"), names)
    asyncio.run(counted(names["count_up"]))


async def counted(count_up: Any) -> None:
    async with FsspecStore.from_url("memory://counted") as store:
        await store.set("counter", Buffer.from_bytes(b"9"))
        await count_up(store)
        value = await store.get("counter")
        assert value is not None
        assert value.to_bytes() == b"10"
        await store.clear()


def test_the_copy_copies() -> None:
    (block,) = re.findall(r"```python\n(async def copy_value.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    asyncio.run(copied(names["copy_value"]))


async def copied(copy_value: Any) -> None:
    source, target = (FsspecStore.from_url(f"memory://copied/{name}") for name in "ab")
    await source.set("c/0", Buffer.from_bytes(b"value"))
    await copy_value(source, target, "c/0")
    value = await target.get("c/0")
    assert value is not None
    assert value.to_bytes() == b"value"
    await source.clear()
    await target.clear()


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).exists(), target


def test_every_make_target_named_is_there() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make (\w+)", README)) <= targets


def test_its_figures_are_those_of_the_page_about_speed() -> None:
    page = (ROOT / "docs" / "performance.md").read_text().splitlines()
    figures = [line for line in README.splitlines() if re.match(r"\|.*\dx \|", line)]
    assert len(figures) >= 5
    assert set(figures) <= set(page)
