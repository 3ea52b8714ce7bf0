"""The README's programs run, and what it says of commands is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from fsspec_store import Buffer, FsspecStore, Stats

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) >= 3
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    first, blocking, stats = capsys.readouterr().out.splitlines()
    assert first == "b'\\n\\x0b\\x0c\\r' [98 99] ['air/c/0/0']"
    assert blocking == "b'written and read without await' ['a/0']"
    assert stats == repr(Stats())
    asyncio.run(counted(names["count_up"]))


async def counted(count_up: Any) -> None:
    async with FsspecStore.from_url("memory://counted") as store:
        await store.set("counter", Buffer.from_bytes(b"9"))
        await count_up(store)
        value = await store.get("counter")
        assert value is not None
        assert value.to_bytes() == b"10"
        await store.clear()


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_make_target_named_is_there() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make (\w+)", README)) <= targets
