"""Responses of Google Cloud Storage, and a filesystem that treats any server as Google's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

from gcsfs.core import GCSFileSystem
from servers.fault_proxy import Answer


class GoogleFileSystem(GCSFileSystem):
    """Uploads large values in chunks, as to Google's hosts."""

    on_google = True


def error_response(status: int, message: str = "from the test") -> Answer:
    """An error of the JSON API."""
    body = json.dumps({"error": {"code": status, "message": message}}, indent=1).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


def batch_response(
    statuses: Iterable[int], messages: Iterable[str] = itertools.repeat("from the test")
) -> Answer:
    """The response to a batch, with the status and the message of each of its requests."""
    parts = [
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n"
        f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\n\r\n"
        f'{{"error": {{"message": "{message}"}}}}\r\n'
        for number, (status, message) in enumerate(zip(statuses, messages, strict=False))
    ]
    body = "".join(parts) + "--b--"
    return Answer(200, {"Content-Type": "multipart/mixed; boundary=b"}, body.encode())
