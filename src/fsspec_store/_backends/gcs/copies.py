"""Copies objects on the service, by `Objects: rewrite` of the JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ..._core.failures import ChangedWhileReadError
from ..._http.parsing import parse_json
from .reading import is_generation

if TYPE_CHECKING:
    from ..._http.messages import Response
    from .client import Client

__all__ = ["check_generation", "rewrite"]

#: Maximum number of bytes that the service moves to another location or class in one request, so
#: that the response takes less than the timeout.
_MAX_BYTES = 256 * 2**20


async def rewrite(
    client: Client, source: tuple[str, str], target: tuple[str, str], generation: str | None
) -> Response[bytes]:
    """Copy an object, given by bucket and name, with its metadata; status 200 or 404.

    Raises `ChangedWhileReadError` if the object has another generation.
    """
    params = {"fields": "done,rewriteToken", "maxBytesRewrittenPerCall": str(_MAX_BYTES)}
    if generation is not None:
        # 0 would require that the object does not exist.
        params["ifSourceGenerationMatch"] = generation if is_generation(generation) else "1"
    items = f"/o/{_quoted(source[1])}/rewriteTo/b/{_quoted(target[0])}/o/{_quoted(target[1])}"
    while True:
        url = client.url(source[0], items=items, **params)
        response = await client.request(
            "POST", url, expect=(200, 404, 412), headers={"Content-Length": "0"}
        )
        if response.status == 412:
            raise ChangedWhileReadError
        if response.status == 404:
            return response
        state = parse_json(response.body)
        if state.get("done") is True:
            return response
        # The copy of a large object to another location or class takes several requests.
        token = state.get("rewriteToken")
        if not isinstance(token, str) or not token or token == params.get("rewriteToken"):
            raise OSError("the service stopped a copy without a token to continue")
        params["rewriteToken"] = token


async def check_generation(client: Client, source: tuple[str, str], generation: str) -> None:
    """Raise `ChangedWhileReadError` if the object has another generation."""
    url = client.url(*source, fields="generation")
    response = await client.request("GET", url, expect=(200, 404))
    if response.status == 200 and parse_json(response.body).get("generation") != generation:
        raise ChangedWhileReadError


def _quoted(name: str) -> str:
    return quote(name, safe="")
