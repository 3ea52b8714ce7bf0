"""How the protocol of a service expresses errors, and what all rules share."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.support import MakeStore
from servers.fault_proxy import Answer, Damage, Fault, Plan

#: Of a request: method, target, headers with names in lower case.
Select = Callable[[str, str, Mapping[str, str]], bool]


def plain_error(status: int) -> Answer:
    """An error response without a body."""
    return Answer(status)


@dataclass(frozen=True)
class Protocol:
    """How a service expresses errors.

    Parameters
    ----------
    error : callable
        The response of the service with a status.
    commits : callable
        Whether a request makes a value visible: an upload, or the end of one in parts.
    part_bytes : int
        Minimum size of a part of a value.
    upload_lost : Answer, optional
        The response to the end of an upload that does not exist any more. None of services that do
        not list the parts of an upload.
    deletes_by : str, optional
        Method of the requests that delete a directory.
    condition_first : str, optional
        Why a condition is not checked at the end of an upload in parts.
    no_bulk : sequence of Answer
        Responses of services that do not support bulk deletes.
    bulk_result : callable, optional
        The response to a bulk delete, by the status of each key. Keys are relative to the bucket,
        and in the order of the request.
    """

    error: Callable[[int], Answer] = plain_error
    commits: Select = lambda method, target, headers: method == "PUT"
    part_bytes: int = 1
    upload_lost: Answer | None = None
    deletes_by: str = "POST"
    condition_first: str | None = None
    no_bulk: Sequence[Answer] = ()
    bulk_result: Callable[[Mapping[str, int]], Answer] | None = None


class Rules:
    """Base of the rules."""

    protocol = Protocol()

    #: As of the classes in `proxied`.
    fill: Callable[[MakeStore, Mapping[str, bytes]], Awaitable[None]]

    def commit(self, fault: Fault | Damage | Answer, times: int = 1) -> Plan:
        """The first requests that make a value visible meet `fault`."""
        left = itertools.repeat(fault, times)

        def plan(method: str, target: str, headers: Mapping[str, str]) -> Any:
            return next(left, None) if self.protocol.commits(method, target, headers) else None

        return plan


def each_once(fault: Fault | Answer) -> Plan:
    """Every request fails at first, and succeeds when it is sent again."""
    seen = set()

    def plan(method: str, target: str, headers: Mapping[str, str]) -> Any:
        ranges = [headers.get(name) for name in ("range", "x-ms-range", "content-range")]
        request = method, target, *ranges
        if request in seen:
            return None
        seen.add(request)
        return fault

    return plan


def always(fault: Fault | Answer) -> Plan:
    return lambda method, target, headers: fault
