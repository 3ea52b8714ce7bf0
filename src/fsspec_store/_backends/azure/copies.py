"""Copies blobs within an account, by "Copy Blob From URL"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..._core.failures import ChangedWhileReadError
from ..._core.versions import is_etag
from .credentials import SharedKey
from .responses import AzureError
from .tokens import Tokens

if TYPE_CHECKING:
    from .client import Client
    from .reading import Reader

__all__ = ["LARGEST_COPY", "copy_blob"]

#: Maximum size of a blob that is copied at once ("Copy Blob From URL"). "Copy Blob" has no limit,
#: but its target may be empty until the copy ends.
LARGEST_COPY = 256 * 2**20
#: The first version of the API with this operation. Older ones ignore its header.
_FIRST_VERSION = "2018-03-28"
#: For the signature of a source, which the service checks at the start.
_HOURS = 1
_CONDITION_NOT_MET = frozenset({"ConditionNotMet", "SourceConditionNotMet"})
#: The service could not read the source: the status is that of the read.
_SOURCE = "CannotVerifyCopySource"


async def copy_blob(
    client: Client, reader: Reader, source: str, target: str, etag: str | None
) -> bool:
    """Copy a blob with its properties and metadata; see `fsspec_store._backends.base.Backend`."""
    if etag is not None and not is_etag(etag):
        # "*" means any version, and "" no condition.
        if await reader.properties(source) is None:
            return False
        raise ChangedWhileReadError
    headers = {"x-ms-requires-sync": "true", "Content-Length": "0"}
    headers |= await _source_headers(client, source)
    if etag is not None:
        headers["x-ms-source-if-match"] = etag
    try:
        response = await client.request("PUT", target, headers=headers, expect={202})
    except AzureError as error:
        status = error.response.status
        if error.code in _CONDITION_NOT_MET or (status == 412 and error.code in (None, _SOURCE)):
            raise ChangedWhileReadError from error
        if error.code == "BlobNotFound":
            return False
        if status == 404 and error.code == _SOURCE and await reader.properties(source) is None:
            return False
        if status in (400, 409, 413) and await _is_large(reader, source):
            raise NotImplementedError(
                f"the service copies blobs of at most {LARGEST_COPY} bytes at once"
            ) from error
        raise
    if response.headers.get("x-ms-copy-status") != "success":
        raise OSError("the service did not state that the blob was copied")
    return True


async def _is_large(reader: Reader, source: str) -> bool:
    found = await reader.properties(source)
    return found is not None and found[0] > LARGEST_COPY


async def _source_headers(client: Client, path: str) -> dict[str, str]:
    """The headers with the URL of the source, which the service reads as another request."""
    account = client.account
    if account.version < _FIRST_VERSION:
        raise NotImplementedError(f"version {account.version} of the API copies no blobs at once")
    url_path, url = client.address(path, "")
    credential = account.credential
    if isinstance(credential, SharedKey):
        url += "?" + credential.read_signature(path, datetime.now(UTC) + timedelta(hours=_HOURS))
    headers = {"x-ms-copy-source": url}
    if isinstance(credential, Tokens):
        authorization = await credential.authorization("GET", url_path, "", headers)
        headers["x-ms-copy-source-authorization"] = authorization or ""
    return headers
