from __future__ import annotations

import asyncio
import gc

from fsspec_store._runtime.loops import Shared, frozen


class Kind:
    """Makes lists, and says in each how it was closed."""

    def __init__(self) -> None:
        self.made: list[list[str]] = []

    def make(self) -> list[str]:
        self.made.append([])
        return self.made[-1]

    async def aclose(self, resource: list[str]) -> None:
        resource.append("awaited")

    def close_now(self, resource: list[str]) -> None:
        resource.append("now")

    def forget(self, resource: list[str]) -> None:
        resource.append("forgotten")


async def test_equal_keys_share_and_others_do_not() -> None:
    kind, other = Kind(), Kind()
    one, two = Shared(("a", 1), lambda: kind), Shared(("a", 1), lambda: other)
    three = Shared(("a", 2), lambda: other)
    assert one.get() is two.get()
    assert one.get() is not three.get()
    assert (len(kind.made), len(other.made)) == (1, 1)
    for share in (one, two, three):
        share.close()


async def test_the_last_user_closes() -> None:
    kind = Kind()
    one, two = Shared("leaving", lambda: kind), Shared("leaving", Kind)
    one.get()
    two.get()
    one.close()
    one.close()
    assert kind.made == [[]]
    await two.aclose()
    assert kind.made == [["awaited"]]
    # Used again, it is made again; who only looked on does not hold it open.
    two.get()
    two.close()
    assert kind.made == [["awaited"], ["now"]]


async def test_a_user_that_is_garbage_no_longer_counts() -> None:
    kind = Kind()
    one, two = Shared("dropped", lambda: kind), Shared("dropped", Kind)
    one.get()
    two.get()
    del two
    gc.collect()
    one.close()
    assert kind.made == [["now"]]
    one.get()
    del one
    gc.collect()
    assert kind.made == [["now"], ["now"]]


async def test_a_resource_is_replaced_for_all_users() -> None:
    kind = Kind()
    one, two = Shared("renewed", lambda: kind), Shared("renewed", Kind)
    old = one.get()
    two.get()
    two.replace(old)
    new = one.get()
    assert new is two.get()
    assert new is not old
    # Whoever comes late with the same complaint gets what is new already.
    one.replace(old)
    assert one.get() is new
    assert old == []
    one.close()
    two.close()
    assert kind.made == [["now"], ["now"]]


def test_each_loop_has_its_resource() -> None:
    kind = Kind()
    one = Shared("loops", lambda: kind)

    async def get() -> list[str]:
        return one.get()

    assert asyncio.run(get()) is not asyncio.run(get())
    assert kind.made == [["awaited"], ["awaited"]]


def test_keys_of_options() -> None:
    thing, twin = [1], bytearray(b"1")
    assert frozen({"a": 1, "b": {"c": [1, 2]}}) == frozen({"b": {"c": [1, 2]}, "a": 1})
    assert frozen({"a": 1}) != frozen({"a": 2})
    assert frozen({"a": {"b": 1}}) != frozen({"a": {"b": 1, "c": None}})
    assert frozen(thing) == frozen([1])
    assert frozen(twin) == frozen(twin)
    assert frozen(twin) != frozen(bytearray(b"1"))
    assert hash(frozen({"a": twin})) == hash(frozen({"a": twin}))
