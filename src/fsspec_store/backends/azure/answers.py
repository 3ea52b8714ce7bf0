"""What Azure's answers mean: which error, which blobs a listing names, how a batch's parts went.

Pure functions on statuses, headers and bodies, no I/O.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

import aiohttp

from ..base import Failure
from ..byte_ranges import stated_size
from ..foreign import is_page, unexpected
from ..http_answers import Answer, StatusError
from ..parsing import parse_multipart, parse_part, parse_xml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AzureError",
    "Listing",
    "batch_statuses",
    "check_whole",
    "error_code",
    "is_folder",
    "listing",
    "refuses_version",
]

_CODE = re.compile(r"<Code>([^<]{0,100})</Code>")
#: The first line: what follows are identifiers, and in some errors the text that was to be signed.
_MESSAGE = re.compile(r"<Message>([^<\r\n]{0,1000})")
#: How Azure and Azurite name it.
_VERSION = re.compile(rb"x-ms-version|API version", re.IGNORECASE)
_IS_NUMBER = re.compile("[0-9]{1,9}").fullmatch
_STATUS_LINE = re.compile(r"HTTP/1\.1 ([0-9]{3})")

# Codes as in "Blob service error codes" and "Common REST API error codes".
_UNAUTHENTICATED = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo"})
_FORBIDDEN = frozenset(
    {
        # What an anonymous reader is told of a container that is not public.
        "NoAuthenticationInformation",
        "PublicAccessNotPermitted",
        "ResourceNotFound",
    }
)
#: Of what a service said, this much is repeated in an error.
_SHOWN = 80
_NO_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})
_INVALID_PATH = frozenset({"InvalidResourceName", "InvalidUri", "OutOfRangeInput"})
#: With a hierarchical namespace a name is a file or a directory.
_CONFLICT = frozenset(
    {"DirectoryIsNotEmpty", "PathAlreadyExists", "PathConflict", "ResourceTypeMismatch"}
)


class AzureError(StatusError):
    """An answer that is an error; says the service's code and reason, and nothing more.

    Parameters
    ----------
    answer : Answer
        What the service answered.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.code = error_code(answer)
        text = f"status {answer.status}"
        if self.code:
            text += f", {self.code}"
        match = _MESSAGE.search(answer.body.decode("utf-8", "replace"))
        if match and match[1]:
            text += f": {unescape(match[1])}"
        #: Whether it is a page of a proxy, or of another server.
        self.is_foreign = not self.code and is_page(answer.body)
        if self.is_foreign:
            text += ": " + unexpected("Azure's protocol")
        self.args = (text,)

    @property
    def meaning(self) -> Failure:
        """What it means to the store."""
        if self.is_foreign:
            return Failure.BACKEND
        if self.code in _NO_CONTAINER:
            return Failure.NO_BUCKET
        if self.answer.status == 401 or self.code in _UNAUTHENTICATED:
            return Failure.UNAUTHENTICATED
        if self.answer.status == 403 or self.code in _FORBIDDEN:
            return Failure.FORBIDDEN
        if self.code in _INVALID_PATH:
            return Failure.INVALID_PATH
        if self.code in _CONFLICT:
            return Failure.CONFLICT
        return Failure.BACKEND


def error_code(answer: Answer) -> str | None:
    """The service's code of an error (``BlobNotFound``), ``None`` where it said none."""
    # The header comes with answers to HEAD as well, which have no body.
    code = answer.headers.get("x-ms-error-code")
    if code is None and (match := _CODE.search(answer.body.decode("utf-8", "replace"))):
        code = match[1]
    # Joined where a proxy repeats the header.
    return None if code is None else code.partition(",")[0][:_SHOWN]


def refuses_version(answer: Answer) -> bool:
    """Whether an error says that the service does not know the version of the API."""
    if answer.status != 400 or error_code(answer) != "InvalidHeaderValue":
        return False
    # The answer to a HEAD does not name the header. No other one has a value that may be refused.
    return not answer.body or _VERSION.search(answer.body) is not None


def check_whole(headers: Mapping[str, str], body: bytes | memoryview) -> None:
    """Hold a whole blob against the checksum it came with, if it is one that was sent in one go.

    Of other kinds of blobs, which are written piece by piece, the checksum is that of an earlier
    state ("Put Page", "Append Block").

    Raises
    ------
    aiohttp.ClientPayloadError
        When it does not fit.
    """
    announced = headers.get("Content-MD5")
    if announced is None or headers.get("x-ms-blob-type") != "BlockBlob":
        return
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    if base64.b64encode(digest).decode() != announced:
        raise aiohttp.ClientPayloadError("the bytes that came do not fit their checksum")


def is_folder(headers: Mapping[str, str]) -> bool:
    """Whether an answer's headers are those of a directory, or of an object that stands for one."""
    return (
        headers.get("x-ms-meta-hdi_isfolder", "").lower() == "true"
        or headers.get("x-ms-resource-type") == "directory"
    )


class Listing(NamedTuple):
    """One page of a container's listing.

    Parameters
    ----------
    blobs : list of tuple
        Names and sizes; a size is ``None`` where the service lists none.
    prefixes : list of str
        With the ``/`` at their end.
    folders : list of str
        Names of directories, and of objects that stand for one: no blobs.
    marker : str or None
        Where the next page begins, ``None`` after the last.
    """

    blobs: list[tuple[str, int | None]]
    prefixes: list[str]
    folders: list[str]
    marker: str | None


def listing(body: bytes) -> Listing:
    """Read a page of a listing that was asked for with metadata.

    Raises
    ------
    OSError
        When the body is no listing.
    """
    try:
        root = parse_xml(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise OSError(f"the service's listing cannot be read as XML: {error}") from error
    items = root.find("Blobs")
    if items is None:
        raise OSError(f"the service answered a listing with <{root.tag[:_SHOWN]}>")
    blobs: list[tuple[str, int | None]] = []
    prefixes: list[str] = []
    folders: list[str] = []
    for item in items:
        name = _name(item)
        if item.tag == "BlobPrefix":
            prefixes.append(name)
        elif _stands_for_folder(item):
            folders.append(name)
        else:
            size = item.findtext("Properties/Content-Length")
            blobs.append((name, stated_size(size, repr(name)) if size else None))
    marker = root.findtext("NextMarker")
    if marker is not None and marker.isspace() and "\n" in marker:
        # White space of an indented document; no name, of which emulators make markers, holds it.
        marker = None
    return Listing(blobs, prefixes, folders, marker or None)


def _name(item: ElementTree.Element) -> str:
    name = item.find("Name")
    if name is None or not name.text:
        raise OSError("the service listed a blob without a name")
    if name.get("Encoded") != "true":
        return name.text
    # Names that XML cannot carry are quoted.
    try:
        return unquote(name.text, errors="strict")
    except UnicodeDecodeError:
        raise OSError("the service listed a name that is quoted, and no UTF-8") from None


def _stands_for_folder(item: ElementTree.Element) -> bool:
    if item.findtext("Properties/ResourceType") == "directory":
        return True
    metadata = item.find("Metadata")
    if metadata is None:
        return False
    return any(
        entry.tag.lower() == "hdi_isfolder" and (entry.text or "").lower() == "true"
        for entry in metadata
    )


def batch_statuses(content_type: str, body: bytes) -> dict[int, Answer]:
    """The answers to a batch's parts, by the number each part was given.

    An answer of the service to the batch as a whole has no number, and is left out.
    """
    answers: dict[int, Answer] = {}
    for part in parse_multipart(content_type, body):
        number = part.headers.get("content-id", "")
        if not _IS_NUMBER(number):
            continue
        line, _, rest = part.body.lstrip().partition(b"\n")
        match = _STATUS_LINE.match(line.decode("latin-1"))
        if match:
            headers, text = parse_part(rest)
            answers[int(number)] = Answer(int(match[1]), headers, text)
    return answers
