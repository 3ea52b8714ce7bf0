"""One process of a race: sixteen writers that create the same keys as those of other processes.

Reads a URL, storage options, its own number, the rounds and how many of them go on at once from
standard input; waits for a line before each batch of rounds; prints the rounds it won.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fsspec_store import FsspecStore

WRITERS = 16


async def main(url: str, options: dict[str, str], process: int, rounds: int, at_once: int) -> None:
    # Losers of a race wait for each other on some services, longer than anybody else has to.
    store = FsspecStore.from_url(url, options, timeout=60)
    await store.exists("missing")

    async def contend(number: int, writer: int) -> int | None:
        value = memoryview(f"{process}-{writer}".encode() * 100)
        won = await store._backend.create(f"{store.path}/lock/{number}", value)
        # Whoever comes back finds a winner's value, whole.
        found = await store.get(f"lock/{number}")
        assert found is not None
        assert len(found) % 100 == 0
        assert not won or found.to_bytes() == value
        return number if won else None

    for start in range(0, rounds, at_once):
        print("ready", flush=True)
        sys.stdin.readline()
        batch = range(start, min(start + at_once, rounds))
        won = await asyncio.gather(
            *(contend(number, writer) for number in batch for writer in range(WRITERS))
        )
        print(json.dumps([number for number in won if number is not None]), flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*json.loads(sys.stdin.readline())))
