"""A store's options for requests: one immutable object that every backend receives.

Validates the options. Does not know how a request is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

from .._runtime.io_threads import default_count
from .hedging import DEFAULT_SHARE
from .retry_policy import RetryPolicy
from .stats import Stats

__all__ = ["PartLimits", "Parts", "Settings", "Transport"]

#: ``"auto"``: the native transport where it supports the user's configuration, the library
#: otherwise. ``"library"``: s3fs on S3, aiohttp on other services.
Transport: TypeAlias = Literal["auto", "library"]

_MIB = 2**20


class Parts(NamedTuple):
    """The size in bytes above which a value is transferred in parts, and that of a part."""

    above: int
    size: int


#: Below this threshold further connections do not make a read faster.
_READS = Parts(above=32 * _MIB, size=8 * _MIB)
_WRITES = Parts(above=64 * _MIB, size=16 * _MIB)


#: Number of sizes of the parts of a value of unknown size. With S3's 10,000 parts and a first part
#: of 16 MiB, its maximum of 5 TiB fits.
_GROWTH_STEPS = 66


@dataclass(frozen=True, slots=True)
class PartLimits:
    """Limits of a service on uploads, in bytes."""

    service: str = "the service"
    #: Minimum size of a part that is not the last one.
    smallest: int = 1
    largest: int | None = None
    #: Sizes of parts are multiples of this.
    multiple_of: int = 1
    #: Maximum number of parts of one upload; ``None`` for no limit.
    most: int | None = None
    largest_request: int | None = None

    def part_size_at(self, index: int, part_size: int) -> int:
        """Size of one part of a value of unknown size: ``part_size``, and more for later parts.

        The maximum number of parts holds a larger value than with parts of one size.
        """
        if self.most is None:
            return part_size
        size = part_size * (1 + index // (self.most // _GROWTH_STEPS))
        return size if self.largest is None else min(size, self.largest)

    def part_size(self, value_size: int, part_size: int) -> int:
        """Part size of one value: ``part_size``, or more if that would need too many parts."""
        if self.most is None:
            return part_size
        return max(part_size, -(-value_size // self.most))


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """Options of a store for the requests that it sends.

    Attributes
    ----------
    transport : {"auto", "library"}, optional
        Whether the native transport may send requests.
    large_value_bytes : int, optional
        Size in bytes above which values are read and written in parts, ``>= 1``; 32 MiB for reads
        and 64 MiB for writes when left out.
    part_bytes : int, optional
        Size of one part in bytes, ``>= 1``; 8 MiB for reads and 16 MiB for writes when left out.
    read_memory_bytes : int, optional
        Bound of the memory of values that the process is receiving, ``>= 1``; see `BodyMemory`.
    hedge : bool or float, optional
        Whether slow reads are requested again, or the maximum share of these additional requests,
        ``0 <= hedge <= 1``.
    io_threads : int, optional
        Number of threads that transfer large bodies of the native transport, ``>= 1``; one for each
        core, and at most 8, when left out.

    Raises
    ------
    ValueError, TypeError
        When a value is out of bounds or has another type.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    stats: Stats = field(default_factory=Stats)
    transport: Transport = "auto"
    large_value_bytes: int | None = None
    part_bytes: int | None = None
    read_memory_bytes: int | None = None
    hedge: bool | float = False
    io_threads: int | None = None

    def __post_init__(self) -> None:
        if self.transport not in get_args(Transport):
            raise ValueError(f"transport must be 'auto' or 'library', got {self.transport!r}")
        for name in ("large_value_bytes", "part_bytes", "read_memory_bytes", "io_threads"):
            value = getattr(self, name)
            if value is None:
                continue
            of_bytes = "" if name == "io_threads" else " of bytes"
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer number{of_bytes}, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1{of_bytes and ' byte'}, got {value}")
        if not isinstance(self.hedge, (bool, int, float)):
            raise TypeError(f"hedge must be a boolean or a number, got {self.hedge!r}")
        if not 0 <= self.hedge <= 1:
            raise ValueError(f"hedge must be a share of requests from 0 to 1, got {self.hedge!r}")

    @property
    def native_threads(self) -> int | None:
        """Number of threads of the native transport; ``None`` if it must not send requests."""
        if self.transport != "auto":
            return None
        return default_count() if self.io_threads is None else self.io_threads

    @property
    def hedge_share(self) -> float:
        """Maximum number of slow reads that are requested again, per successful read."""
        return DEFAULT_SHARE if self.hedge is True else float(self.hedge)

    @property
    def reads(self) -> Parts:
        """Threshold and part size of reads."""
        return self._parts(_READS)

    @property
    def writes(self) -> Parts:
        """Threshold and part size of uploads."""
        return self._parts(_WRITES)

    def check(self, limits: PartLimits) -> None:
        """Raise `ValueError` for sizes that the service does not support."""
        service = limits.service
        most = limits.largest_request
        if most is not None and (self.large_value_bytes or 0) > most:
            raise ValueError(
                f"large_value_bytes must be at most {most} on {service}, its limit for an upload "
                f"in one request; got {self.large_value_bytes}"
            )
        size = self.part_bytes
        if size is None:
            return
        if size < limits.smallest:
            raise ValueError(
                f"part_bytes must be at least {limits.smallest} on {service}, its minimum size of "
                f"a part; got {size}"
            )
        if limits.largest is not None and size > limits.largest:
            raise ValueError(
                f"part_bytes must be at most {limits.largest} on {service}, its maximum size of "
                f"a part; got {size}"
            )
        if size % limits.multiple_of:
            raise ValueError(
                f"part_bytes must be a multiple of {limits.multiple_of} on {service}, which "
                f"requires it of the parts of an upload; got {size}"
            )

    def _parts(self, default: Parts) -> Parts:
        return Parts(
            default.above if self.large_value_bytes is None else self.large_value_bytes,
            default.size if self.part_bytes is None else self.part_bytes,
        )
