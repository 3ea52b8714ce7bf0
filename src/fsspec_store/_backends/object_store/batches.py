"""Batches: several requests in one multipart body, as Google Cloud Storage and Azure accept them.

Pure functions, no I/O.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from ..._http.messages import Response
from ..._http.parsing import parse_multipart, parse_part

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["batch_body", "batch_responses"]

_NUMBER = re.compile(r"([0-9]{1,9})>?$")
_STATUS_LINE = re.compile(rb"\S+\s+([0-9]{3})\b")


def batch_body(requests: Iterable[str], content_id: str = "{}") -> tuple[bytes, str]:
    """The body of a batch, and its content type.

    A request is a request line with the headers. ``content_id`` formats the number of a request.
    """
    boundary = f"batch_{secrets.token_hex(16)}"
    parts = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {content_id.format(number)}\r\n\r\n{request}\r\n\r\n\r\n"
        for number, request in enumerate(requests)
    ]
    body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    return body, f"multipart/mixed; boundary={boundary}"


def batch_responses(batch: Response[bytes]) -> dict[int, Response[bytes]]:
    """The responses in the response to a batch, by the number of their request.

    A part without a number, such as the response to the batch as a whole, is skipped.
    """
    responses = {}
    for part in parse_multipart(batch.headers.get("Content-Type", ""), batch.body):
        number = _NUMBER.search(part.headers.get("content-id", ""))
        line, _, rest = part.body.lstrip().partition(b"\n")
        status = _STATUS_LINE.match(line)
        if number and status:
            headers, body = parse_part(rest)
            responses[int(number[1])] = Response(int(status[1]), headers, body)
    return responses
