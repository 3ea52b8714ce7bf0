"""What an answer that is no success means in the fast lane: an error, or a question for s3fs.

Pure functions, no I/O.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import botocore.exceptions
from s3fs.errors import translate_boto_error

from .answers import MissingError
from .documents import parse_error

if TYPE_CHECKING:
    from ..._http.http1.connection import Response

__all__ = ["OddAnswerError", "is_success", "refusal"]

#: Codes that s3fs may be able to do something about: it finds a bucket's region, and signs in other
#: ways.
_FOR_S3FS = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "TemporaryRedirect",
    }
)


class OddAnswerError(Exception):
    """An answer that s3fs has to be asked for again; the message says what was odd about it.

    Parameters
    ----------
    what : str
        The message.
    lasting : bool, optional
        Whether the next answer would be no other: the request went to the wrong place, or was
        signed in the wrong way.
    """

    def __init__(self, what: str, *, lasting: bool = False) -> None:
        super().__init__(what)
        self.lasting = lasting


def is_success(response: Response) -> bool:
    """Whether botocore would take it for one; not every service is particular about statuses."""
    return 200 <= response.status < 300


def refusal(response: Response, operation: str) -> Exception:
    """What s3fs would raise for an answer."""
    status = response.status
    if 300 <= status < 400:
        return OddAnswerError(f"the status {status}", lasting=True)
    body = b"" if response.body is None else bytes(response.body)
    error = parse_error(body)
    if not error:
        if body and status < 500 and status != 429:
            return OddAnswerError(f"the status {status} without an error of S3")
        if not body and status == 400:
            # A HEAD in the wrong region, among others.
            return OddAnswerError("the status 400 without a reason", lasting=True)
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        error = {"Code": str(status), "Message": phrase}
    if error.get("Code") in _FOR_S3FS:
        return OddAnswerError(f"the error {error['Code']}", lasting=True)
    parsed = {
        "Error": error,
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": response.headers},
    }
    if status == 404 and error.get("Code") in ("NoSuchKey", "404"):
        return MissingError(parsed)
    refused = botocore.exceptions.ClientError(parsed, operation)
    translated: Exception = translate_boto_error(refused)
    return translated
