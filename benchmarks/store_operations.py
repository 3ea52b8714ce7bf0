"""The operations of a store that are compared, as reading, writing and listing programs call them.

Does not know how a candidate is called, see `candidates`, nor how long a round lasts.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks import contents
from benchmarks.contents import DOOMED, FOLDER, HUGE, HUGE_WRITTEN, LISTED, VALUES
from benchmarks.operation import CHECKED_CALLS, Effect, Operation
from benchmarks.scale import MIB

if TYPE_CHECKING:
    from benchmarks.scale import Scale
    from benchmarks.subjects import Subject

_small = cache(contents.small_written)
_large = cache(contents.large_written)
_huge = cache(contents.huge)

#: Concurrent values of 4 MiB: more would fill the memory.
_LARGE_AT_ONCE = 8

#: A part of a value of 16 KiB, neither at its beginning nor at its end.
_PART = (4_096, 8_192)


async def _ranges(subject: Subject, scale: Scale, turn: int) -> Any:
    key = contents.large_key(turn, scale)
    return list(await subject.get_partial_values(key, contents.ranges(scale)))


async def _coalesced_ranges(subject: Subject, scale: Scale, turn: int) -> Any:
    key = contents.large_key(turn, scale)
    return list(await subject.get_ranges(key, contents.ranges(scale)))


def _ranges_expected(scale: Scale, turn: int) -> list[bytes]:
    data = contents.large(contents.large_key(turn, scale))
    return [data[start:end] for start, end in contents.ranges(scale)]


def _huge_megabytes(scale: Scale) -> float:
    return scale.huge_mib * MIB / 1e6


STORE_OPERATIONS = (
    Operation(
        "get-whole",
        "get 16 KiB whole",
        VALUES,
        lambda scale, turn: contents.value(contents.value_key(turn, scale)),
        lambda subject, scale, turn: subject.get(contents.value_key(turn, scale)),
    ),
    Operation(
        "get-range",
        "get 4 KiB range",
        VALUES,
        lambda scale, turn: contents.value(contents.value_key(turn, scale))[slice(*_PART)],
        lambda subject, scale, turn: subject.get_range(contents.value_key(turn, scale), *_PART),
    ),
    Operation(
        "get-4m",
        "get 4 MiB whole",
        VALUES,
        lambda scale, turn: contents.large(contents.large_key(turn, scale)),
        lambda subject, scale, turn: subject.get(contents.large_key(turn, scale)),
        at_once=_LARGE_AT_ONCE,
        is_large=True,
    ),
    Operation(
        "ranges",
        "{ranges} ranges, get_partial_values",
        VALUES,
        _ranges_expected,
        _ranges,
        unit="range",
        amount=lambda scale: scale.ranges,
        at_once=_LARGE_AT_ONCE,
    ),
    Operation(
        "ranges-of-key",
        "{ranges} ranges, get_ranges",
        VALUES,
        _ranges_expected,
        _coalesced_ranges,
        unit="range",
        amount=lambda scale: scale.ranges,
        at_once=_LARGE_AT_ONCE,
        method="get_ranges",
    ),
    Operation(
        "get-missing",
        "get, missing key",
        VALUES,
        lambda scale, turn: None,
        lambda subject, scale, turn: subject.get(f"missing/{turn}"),
    ),
    Operation(
        "exists",
        "exists",
        VALUES,
        lambda scale, turn: True,
        lambda subject, scale, turn: subject.exists(contents.value_key(turn, scale)),
    ),
    Operation(
        "exists-missing",
        "exists, missing key",
        VALUES,
        lambda scale, turn: False,
        lambda subject, scale, turn: subject.exists(f"missing/{turn}"),
    ),
    Operation(
        "set-small",
        "set 256 B",
        VALUES,
        lambda scale, turn: None,
        lambda subject, scale, turn: subject.set(
            f"new-small/{turn % scale.values}", subject.value(_small())
        ),
        effect=Effect(
            "new-small",
            lambda scale: {f"new-small/{turn}": _small() for turn in range(CHECKED_CALLS)},
        ),
    ),
    Operation(
        "set-4m",
        "set 4 MiB",
        VALUES,
        lambda scale, turn: None,
        lambda subject, scale, turn: subject.set(f"new-large/{turn}", subject.value(_large())),
        calls=lambda scale: scale.large_writes,
        at_once=_LARGE_AT_ONCE,
        effect=Effect(
            "new-large",
            lambda scale: {f"new-large/{turn}": _large() for turn in range(scale.large_writes)},
        ),
        is_large=True,
        writes_much=True,
    ),
    Operation(
        "list",
        "list {keys} keys",
        LISTED,
        lambda scale, turn: sorted(contents.listed_keys(scale)),
        lambda subject, scale, turn: subject.list_all(),
        unit="key",
        amount=lambda scale: scale.keys,
        calls=lambda scale: 1,
        at_once=1,
    ),
    Operation(
        "list-dir",
        "list_dir, {children} folders and keys",
        LISTED,
        lambda scale, turn: contents.listed_children(scale),
        lambda subject, scale, turn: subject.list_dir(FOLDER),
        calls=lambda scale: 10,
        at_once=1,
    ),
    Operation(
        "getsize-prefix",
        "getsize_prefix of {keys} keys",
        LISTED,
        lambda scale, turn: scale.keys * contents.LISTED_BYTES,
        lambda subject, scale, turn: subject.getsize_prefix(FOLDER),
        unit="key",
        amount=lambda scale: scale.keys,
        calls=lambda scale: 1,
        at_once=1,
        most_rounds=3,
    ),
    Operation(
        "delete-dir",
        "delete_dir of {deleted} keys",
        VALUES,
        lambda scale, turn: None,
        lambda subject, scale, turn: subject.delete_dir(DOOMED),
        unit="key",
        amount=lambda scale: scale.deleted,
        calls=lambda scale: 1,
        at_once=1,
        effect=Effect(DOOMED, lambda scale: {}, contents.doomed_keys),
    ),
    Operation(
        "get-huge",
        "get {huge_mib} MiB whole",
        VALUES,
        lambda scale, turn: _huge(scale),
        lambda subject, scale, turn: subject.get(HUGE),
        unit="MB",
        amount=_huge_megabytes,
        calls=lambda scale: 1,
        at_once=1,
        most_rounds=3,
        is_large=True,
    ),
    Operation(
        "set-huge",
        "set {huge_mib} MiB",
        VALUES,
        lambda scale, turn: None,
        lambda subject, scale, turn: subject.set(f"{HUGE_WRITTEN}/0", subject.value(_huge(scale))),
        unit="MB",
        amount=_huge_megabytes,
        calls=lambda scale: 1,
        at_once=1,
        most_rounds=3,
        effect=Effect(HUGE_WRITTEN, lambda scale: {f"{HUGE_WRITTEN}/0": _huge(scale)}),
        is_large=True,
        writes_much=True,
    ),
)
