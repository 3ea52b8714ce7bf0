"""Interpretation of responses as in Azure's documentation."""

from __future__ import annotations

import pickle

import pytest

from fsspec_store._backends.azure.responses import (
    AzureError,
    error_code,
    is_folder,
    listing,
)
from fsspec_store._backends.pages import Page
from fsspec_store._core.failures import Failure
from fsspec_store._http.messages import Response

ERROR = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><Error>\
<Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request &amp; refused.
RequestId:55ea2a3c-701e-0000-3a53-1f5a17000000
Time:2026-07-27T00:00:00.0000000Z</Message><AuthenticationErrorDetail>The MAC signature found in \
the HTTP request 'c2lnbmF0dXJl' is not the same as any computed signature. Server used following \
string to sign: 'GET'.</AuthenticationErrorDetail></Error>"""


def test_an_error_has_code_and_message_but_no_signature() -> None:
    error = AzureError(Response(403, {}, ERROR))
    assert str(error) == (
        "status 403, AuthenticationFailed: Server failed to authenticate the request & refused."
    )
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.failure is Failure.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [
        (404, "ContainerNotFound", Failure.NO_BUCKET),
        (409, "ContainerBeingDeleted", Failure.NO_BUCKET),
        (403, "AuthorizationPermissionMismatch", Failure.FORBIDDEN),
        (401, "InvalidAuthenticationInfo", Failure.UNAUTHENTICATED),
        (400, "InvalidAuthenticationInfo", Failure.UNAUTHENTICATED),
        (409, "PublicAccessNotPermitted", Failure.FORBIDDEN),
        # For an anonymous request to a private or missing container.
        (404, "ResourceNotFound", Failure.FORBIDDEN),
        (400, "InvalidUri", Failure.INVALID_PATH),
        (400, "InvalidResourceName", Failure.INVALID_PATH),
        (409, "ResourceTypeMismatch", Failure.CONFLICT),
        (412, "LeaseIdMissing", Failure.BACKEND),
        (500, "InternalError", Failure.BACKEND),
        (404, None, Failure.BACKEND),
    ],
)
def test_the_kind_of_an_error(status: int, code: str | None, failure: Failure) -> None:
    # Like a response to HEAD: without a body.
    headers = {} if code is None else {"x-ms-error-code": code}
    error = AzureError(Response(status, headers, b""))
    assert error.code == code
    assert error.failure is failure


def test_the_code_of_a_body() -> None:
    assert error_code(Response(403, {}, ERROR)) == "AuthenticationFailed"
    assert error_code(Response(403, {}, b"<html>")) is None


PAGE = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://account.blob.core.windows.net/" ContainerName="c">
<Prefix>a/</Prefix><Delimiter>/</Delimiter><Blobs>{}</Blobs><NextMarker{}</EnumerationResults>"""


def page(items: str, marker: str = " />") -> tuple[Page, str]:
    return listing("c", PAGE.format(items, marker).encode())


def item(name: str, size: int, more: str = "", metadata: str = "") -> str:
    return (
        f"<Blob><Name>{name}</Name><Properties><Content-Length>{size}</Content-Length>"
        f"<BlobType>BlockBlob</BlobType>{more}</Properties><Metadata>{metadata}</Metadata></Blob>"
    )


def test_a_page_of_a_listing() -> None:
    found = page(
        item("a/1", 7) + item("a/ &amp;&lt;ü ", 0) + "<BlobPrefix><Name>a/b/</Name></BlobPrefix>",
        ">2!72!MDAw</NextMarker>",
    )
    assert found == (Page([("c/a/1", 7), ("c/a/ &<ü ", 0)], ["c/a/b"], folders=[]), "2!72!MDAw")
    assert page("") == (Page([], [], folders=[]), "")


def test_a_name_that_is_invalid_in_xml() -> None:
    found, _ = page(
        "<Blob><Name Encoded='true'>a/%EF%BF%BE%20b</Name><Properties>"
        "<Content-Length>1</Content-Length></Properties></Blob>" + item("a/%20", 2)
    )
    assert found.objects == [("c/a/\ufffe b", 1), ("c/a/%20", 2)]


def test_directories_are_not_blobs() -> None:
    found, _ = page(
        item("a/file", 1, "<ResourceType>file</ResourceType>")
        + item("a/dir", 0, "<ResourceType>directory</ResourceType>")
        + item("a/marker", 0, metadata="<Hdi_isfolder>true</Hdi_isfolder>")
        + item("a/other", 0, metadata="<hdi_isfolder>false</hdi_isfolder><x>true</x>")
    )
    assert found.objects == [("c/a/file", 1), ("c/a/other", 0)]
    assert found.folders == ["c/a/dir", "c/a/marker"]


def test_a_quoted_name_that_is_not_utf8() -> None:
    with pytest.raises(OSError, match="UTF-8"):
        page("<Blob><Name Encoded='true'>a/%FF</Name></Blob>")


def test_an_indented_listing_has_no_marker() -> None:
    assert page(item("a/1", 7), ">\n  </NextMarker>")[1] == ""
    # A marker of an emulator, which uses names.
    assert page(item("a/1", 7), "> </NextMarker>")[1] == " "


@pytest.mark.parametrize(
    "body", [b"", b"<EnumerationResults><Blobs>", b"<html></html>", b"<Blobs><Blob/></Blobs>"]
)
def test_an_invalid_listing_is_an_error(body: bytes) -> None:
    with pytest.raises(OSError, match="invalid listing"):
        listing("c", body)


@pytest.mark.parametrize(
    ("headers", "folder"),
    [
        ({}, False),
        ({"x-ms-meta-hdi_isfolder": "true"}, True),
        ({"x-ms-meta-hdi_isfolder": "false"}, False),
        ({"x-ms-resource-type": "directory"}, True),
        ({"x-ms-resource-type": "file"}, False),
    ],
)
def test_headers_of_a_directory(headers: dict[str, str], folder: bool) -> None:
    assert is_folder(headers) is folder
