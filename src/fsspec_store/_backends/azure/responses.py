"""Interprets responses of Azure: errors, retry decisions, listings, checksums.

Pure functions on statuses, headers and bodies, no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

import aiohttp
from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from ..._core.failures import Failure
from ..._http.content_range import stated_size
from ..._http.messages import Response
from ..._http.parsing import parse_xml
from ..._http.responses import StatusError, http_failure, retry_decision_of_error
from ..._http.retry_policy import EXPIRED, TRANSIENT, RetryDecision
from ..._http.unexpected_responses import is_html_page, unexpected_response
from ..checksums import md5_in_base64
from ..listed_details import digest, etag, http_date
from ..pages import Details, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AzureError",
    "error_code",
    "is_folder",
    "is_missing",
    "is_unsupported_version",
    "listing",
    "retry_decision",
    "uncommitted_blobs",
    "uncommitted_blocks",
    "verify_checksum",
]

_CODE = re.compile(r"<Code>([^<]{0,100})</Code>")
#: Only the first line: identifiers follow, and in some errors the string to sign.
_MESSAGE = re.compile(r"<Message>([^<\r\n]{0,1000})")
#: Azure's and Azurite's names of the version header.
_MENTIONS_VERSION = re.compile(rb"x-ms-version|API version", re.IGNORECASE)

#: Maximum number of characters of a response in an error message.
_MAX_QUOTED = 80
#: By codes as in "Blob service error codes" and "Common REST API error codes".
_FAILURES = {
    "AuthenticationFailed": Failure.UNAUTHENTICATED,
    "InvalidAuthenticationInfo": Failure.UNAUTHENTICATED,
    # Responses to anonymous requests for a private container.
    "NoAuthenticationInformation": Failure.FORBIDDEN,
    "PublicAccessNotPermitted": Failure.FORBIDDEN,
    "ResourceNotFound": Failure.FORBIDDEN,
    "ContainerBeingDeleted": Failure.NO_BUCKET,
    "ContainerNotFound": Failure.NO_BUCKET,
    "InvalidResourceName": Failure.INVALID_PATH,
    "InvalidUri": Failure.INVALID_PATH,
    "OutOfRangeInput": Failure.INVALID_PATH,
    # With a hierarchical namespace a name is either a file or a directory.
    "DirectoryIsNotEmpty": Failure.CONFLICT,
    "PathAlreadyExists": Failure.CONFLICT,
    "PathConflict": Failure.CONFLICT,
    "ResourceTypeMismatch": Failure.CONFLICT,
}


class AzureError(StatusError):
    """An error response. The message has only the status, code and reason of the service."""

    def __init__(self, response: Response[bytes]) -> None:
        super().__init__(response)
        self.code = error_code(response)
        text = f"status {response.status}"
        if self.code:
            text += f", {self.code}"
        match = _MESSAGE.search(response.body.decode("utf-8", "replace"))
        if match and match[1]:
            text += f": {unescape(match[1])}"
        #: Whether it is an HTML page of a proxy or of another server.
        self.is_unexpected = not self.code and is_html_page(response.body)
        if self.is_unexpected:
            text += ": " + unexpected_response("Azure's protocol")
        self.args = (text,)

    @property
    def failure(self) -> Failure:
        """The kind of the error."""
        if self.is_unexpected:
            return Failure.BACKEND
        if self.response.status == 401:
            return Failure.UNAUTHENTICATED
        return _FAILURES.get(self.code or "") or http_failure(self)


def error_code(response: Response[bytes]) -> str | None:
    """The error code of a response (``BlobNotFound``), ``None`` without one."""
    # Responses to HEAD have the header but no body.
    code = response.headers.get("x-ms-error-code")
    if code is None and (match := _CODE.search(response.body.decode("utf-8", "replace"))):
        code = match[1]
    # A proxy may repeat the header; the values are joined then.
    return None if code is None else code.partition(",")[0][:_MAX_QUOTED]


def is_missing(response: Response[Any]) -> bool:
    """Whether a response states that the blob is missing; raise `AzureError` for another 404."""
    if response.status != 404:
        return False
    whole = Response(response.status, response.headers, bytes(response.body))
    if error_code(whole) != "BlobNotFound":
        raise AzureError(whole)
    return True


def is_unsupported_version(response: Response[bytes]) -> bool:
    """Whether an error states that the service does not support the version of the API."""
    if response.status != 400 or error_code(response) != "InvalidHeaderValue":
        return False
    # The response to a HEAD does not name the header; only the version can be invalid.
    return not response.body or _MENTIONS_VERSION.search(response.body) is not None


def retry_decision(error: Exception) -> RetryDecision | None:
    """The retry decision for an error, ``None`` where a retry does not help."""
    if isinstance(error, StatusError):
        if error.response.status == 401:
            return EXPIRED
        if error_code(error.response) == "Md5Mismatch":
            return TRANSIENT
    elif isinstance(error, (ServiceRequestError, ServiceResponseError)):
        # A request for a token failed.
        return TRANSIENT
    return retry_decision_of_error(error)


def verify_checksum(headers: Mapping[str, str], body: bytes | memoryview) -> None:
    """Verify the MD5 of a whole block blob, if the response states one.

    Page and append blobs are not verified: their MD5 is that of an earlier state ("Put Page",
    "Append Block").
    """
    announced = headers.get("Content-MD5")
    if announced is None or headers.get("x-ms-blob-type") != "BlockBlob":
        return
    if md5_in_base64(body) != announced:
        raise aiohttp.ClientPayloadError("checksum mismatch in the response body")


def is_folder(headers: Mapping[str, str]) -> bool:
    """Whether headers are those of a directory, or of a blob that represents one."""
    return (
        headers.get("x-ms-meta-hdi_isfolder", "").lower() == "true"
        or headers.get("x-ms-resource-type") == "directory"
    )


def listing(container: str, body: bytes, *, details: bool = False) -> tuple[Page, str]:
    """The page of a listing with metadata, and the marker of the next one, ``""`` on the last one.

    The page has ``details`` only if they are requested: reading them takes time.

    Raises ``OSError`` when the body is not a valid listing.
    """
    items, marker = _items(body)
    blobs: list[tuple[str, int | None]] = []
    prefixes: list[str] = []
    folders: list[str] = []
    found: dict[str, Details] = {}
    for item in items:
        name = _name(item)
        path = f"{container}/{name}"
        if item.tag == "BlobPrefix":
            prefixes.append(path.removesuffix("/"))
        elif _is_folder_entry(item):
            folders.append(path)
        else:
            size = item.findtext("Properties/Content-Length")
            blobs.append((path, stated_size(size, repr(name)) if size else None))
            if details:
                found[path] = _listed_details(item)
    return Page(blobs, prefixes, folders=folders, details=found), marker


def uncommitted_blobs(container: str, body: bytes) -> tuple[Page, str]:
    """Like `listing`, of blobs that have no committed block, in a listing that includes them."""
    items, marker = _items(body)
    # Only they have no content type ("List Blobs").
    found = [
        f"{container}/{_name(item)}"
        for item in items
        if item.find("Properties/Content-Type") is None and not _is_folder_entry(item)
    ]
    return Page([(path, None) for path in found]), marker


def _items(body: bytes) -> tuple[ElementTree.Element, str]:
    """The entries of a listing, and the marker of the next page."""
    try:
        root = parse_xml(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise OSError(f"invalid listing: the body is not XML: {error}") from error
    items = root.find("Blobs")
    if items is None:
        raise OSError(f"invalid listing: unexpected root element <{root.tag[:_MAX_QUOTED]}>")
    marker = root.findtext("NextMarker", "")
    if marker.isspace() and "\n" in marker:
        # Whitespace of indented XML. Emulators use names as markers; no name has a line break.
        marker = ""
    return items, marker


def uncommitted_blocks(body: bytes) -> dict[str, int]:
    """Sizes of the uncommitted blocks of a blob by name; empty if the body is no such list."""
    try:
        root = parse_xml(body)
        return {
            block.findtext("Name", ""): int(block.findtext("Size", ""))
            for block in root.iterfind("UncommittedBlocks/Block")
        }
    except (ElementTree.ParseError, LookupError, ValueError):
        return {}


def details_of(headers: Mapping[str, str]) -> Details:
    """What the headers of a blob state besides its size."""
    return _details(headers, headers.get("ETag"), headers.get("x-ms-blob-type"))


def _listed_details(item: ElementTree.Element) -> Details:
    properties = {each.tag: each.text for each in item.iterfind("Properties/*")}
    return _details(properties, properties.get("Etag"), properties.get("BlobType"))


def _details(stated: Mapping[str, str | None], tag: str | None, kind: str | None) -> Details:
    # As in `verify_checksum`, only of block blobs.
    md5 = digest(stated.get("Content-MD5"), 16) if kind == "BlockBlob" else None
    modified = http_date(stated.get("Last-Modified"))
    return Details(modified, etag(tag), {} if md5 is None else {"md5": md5})


def _name(item: ElementTree.Element) -> str:
    name = item.find("Name")
    if name is None or not name.text:
        raise OSError("invalid listing: a blob has no name")
    if name.get("Encoded") != "true":
        return name.text
    # Names with characters that are invalid in XML are quoted.
    try:
        return unquote(name.text, errors="strict")
    except UnicodeDecodeError:
        raise OSError("invalid listing: a quoted name is not UTF-8") from None


def _is_folder_entry(item: ElementTree.Element) -> bool:
    if item.findtext("Properties/ResourceType") == "directory":
        return True
    metadata = item.find("Metadata")
    if metadata is None:
        return False
    return any(
        entry.tag.lower() == "hdi_isfolder" and (entry.text or "").lower() == "true"
        for entry in metadata
    )
