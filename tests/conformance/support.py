"""What the rules share: values, short ways to read and write them, and what a service cannot do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pytest

from fsspec_store import Buffer, Store

T = TypeVar("T")


class MakeStore(Protocol):
    """A factory of stores, all at one location that is empty when the test begins."""

    def __call__(
        self,
        below: str = "",
        *,
        read_only: bool = ...,
        out_of_range: Literal["raise", "empty"] = ...,
        allow_racy_create: bool = ...,
        part_bytes: int = ...,
    ) -> Any:
        """Create a store and do not open it.

        Parameters
        ----------
        below : str, optional
            Prefix of the location that is the store's root.
        read_only : bool, optional
            Whether the store refuses writes. It does not by default.
        out_of_range : {"raise", "empty"}, optional
            The answer to a byte range outside the value. The default is a `ByteRangeError`.
        allow_racy_create : bool, optional
            Whether `set_if_not_exists` may check first and then write where the service cannot
            create atomically. It may by default. Without it `set_if_not_exists` raises an
            `UnsupportedOperationError` that names this option.
        part_bytes : int, optional
            Size of the parts of values that are read and written in parts.
        """


@dataclass(frozen=True)
class Limits:
    """What a service cannot do, as reasons; ``None`` is: it can.

    Parameters
    ----------
    writes : str, optional
        Write at all; what rules need to be there is then put there behind the store's back.
    key_beside_children : str, optional
        Hold, and list, a key ``a`` beside a key ``a/b``.
    long_names : str, optional
        Hold a segment of more than 255 bytes.
    backslash : str, optional
        Hold a key with a backslash.
    version_in_key : str, optional
        Hold a key with ``?versionId=`` in it.
    trailing_dot : str, optional
        Hold a segment that ends with a dot.
    hidden_names : str, optional
        List a key with a segment that begins with a dot.
    prefix_gone_at_once : str, optional
        Stop listing a prefix once its last key is deleted.
    query_characters : str, optional
        Hold a key with ``?`` or ``;``.
    atomic_replace : str, optional
        Let readers find a value at all times while it is replaced.
    atomic_create : str, optional
        Let exactly one of many concurrent creators win.
    compare_and_swap : str, optional
        Replace only the version of a value that was read.
    examples : int, optional
        How many examples a property test takes; a server's request is dearer than a dictionary's.
    many : int, optional
        More keys than a page of a listing has, and than one request deletes; fewer will do where
        there are no pages, or where the same code is tried with more on another server.
    """

    writes: str | None = None
    key_beside_children: str | None = None
    long_names: str | None = None
    backslash: str | None = None
    version_in_key: str | None = None
    trailing_dot: str | None = None
    hidden_names: str | None = None
    prefix_gone_at_once: str | None = None
    query_characters: str | None = None
    atomic_replace: str | None = None
    atomic_create: str | None = None
    compare_and_swap: str | None = None
    examples: int = 100
    many: int = 1050


class Rules:
    """Base of the rules: the limits of the service under test."""

    limits = Limits()

    @pytest.fixture(autouse=True)
    def _rules_of_writing_need_writes(self, request: pytest.FixtureRequest) -> None:
        name = request.function.__name__
        stated_in = next(cls for cls in type(self).__mro__ if name in vars(cls))
        if vars(stated_in).get("of_writing"):
            unless(self.limits.writes)


def unless(reason: str | None) -> None:
    """Skip the test, visibly, where the service cannot do what it asks."""
    if reason:
        pytest.skip(f"cannot: {reason}")


def named(value: object) -> str:
    """The value in a test's name, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def buf(data: bytes) -> Buffer:
    return Buffer.from_bytes(data)


def content(size: int) -> bytes:
    """``size`` bytes of which no two nearby stretches are equal."""
    return np.arange(size // 4 + 1, dtype=">u4").tobytes()[:size]


async def put(store: Store, *keys: str, data: bytes | None = None) -> None:
    """Write each key, with its own name for a value where none is given."""
    for key in keys:
        await store.set(key, buf(key.encode() if data is None else data))


async def read(store: Store, key: str, byte_range: Any = None) -> bytes | None:
    value = await store.get(key, byte_range=byte_range)
    return None if value is None else value.to_bytes()


async def collect(items: AsyncIterable[T]) -> list[T]:
    return [item async for item in items]


async def removable(store: Store) -> list[Any]:
    """Leftovers of a store, without blocks on Azure, which the service removes after a week."""
    return [each async for each in store.list_leftovers() if each.kind != "blocks"]


async def listed(items: AsyncIterable[str]) -> list[str]:
    """What was listed, sorted; a thing listed twice stays twice."""
    return sorted(await collect(items))


async def run_property(check: Any) -> None:
    """Run an async hypothesis property in the test's own loop, where its stores' sessions live."""
    loop = asyncio.get_running_loop()
    inner = check.hypothesis.inner_test

    def blocking(*args: Any, **kwargs: Any) -> None:
        asyncio.run_coroutine_threadsafe(inner(*args, **kwargs), loop).result(60)

    check.hypothesis.inner_test = blocking
    await asyncio.to_thread(check)
