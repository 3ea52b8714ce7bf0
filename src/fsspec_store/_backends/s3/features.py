"""Records which optional S3 features a service does not support, once per process and endpoint.

Amazon S3 supports all of them. Other services reject optional headers, bulk deletes or
ListObjectsV2 with various errors. An unsupported feature is left out of all later requests to that
endpoint.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ..._core.failures import Failure
from .responses import (
    CONFLICT,
    CORRUPT_BODY,
    OUT_OF_RANGE,
    PRECONDITION_FAILED,
    error_code,
    error_status,
    failure_of,
    retry_decision,
)

__all__ = [
    "BULK_DELETE",
    "CHECKSUMS",
    "CHECKSUM_MODE",
    "LIST_V2",
    "OPTIONAL",
    "Service",
    "may_be_unsupported",
    "service_at",
]

logger = logging.getLogger("fsspec_store.s3")

#: The request header that makes the service return the object's checksum.
CHECKSUM_MODE = "x-amz-checksum-mode"
#: The request headers with the checksum of an upload. Without them its signature covers the body.
CHECKSUMS = "x-amz-checksum-*"
BULK_DELETE = "DeleteObjects"
LIST_V2 = "ListObjectsV2"

#: The optional feature of each method's requests.
OPTIONAL = {
    "get_object": CHECKSUM_MODE,
    "put_object": CHECKSUMS,
    "upload_part": CHECKSUMS,
    "create_multipart_upload": CHECKSUMS,
    "list_objects_v2": LIST_V2,
}
_FALLBACKS = {
    CHECKSUM_MODE: "values are read without verifying the checksums that the service has",
    CHECKSUMS: "uploads are sent with the SHA-256 of their body, and without a CRC-32",
    BULK_DELETE: "keys are deleted one by one",
    LIST_V2: "keys are listed by ListObjects, version 1",
}
#: Statuses of unsupported requests (RFC 9110, sections 15.5 and 15.6).
_STATUSES = frozenset({400, 405, 411, 413, 415, 417, 501})
#: Codes with these statuses that have another cause.
_OTHER_CODES = CONFLICT | CORRUPT_BODY | OUT_OF_RANGE | PRECONDITION_FAILED


@dataclass
class Service:
    """The unsupported features of the service at one endpoint."""

    endpoint: str
    unsupported: frozenset[str] = field(default_factory=frozenset)

    def mark_unsupported(self, feature: str, reason: object) -> None:
        """Leave a feature out from now on, and log that once."""
        if feature not in self.unsupported:
            self.unsupported |= {feature}
            logger.warning(
                "%s does not support %s (%s): %s from now on",
                self.endpoint,
                feature,
                reason,
                _FALLBACKS[feature],
            )


def may_be_unsupported(error: Exception, *, over_tls: bool = False) -> bool:
    """Whether an error may mean that an optional feature of the request is unsupported.

    ``SignatureDoesNotMatch`` counts: a proxy that drops or changes a signed header causes it. Over
    TLS ``XAmzContentSHA256Mismatch`` counts: the service does not support ``UNSIGNED-PAYLOAD``.
    """
    code = error_code(error)
    if code == "XAmzContentSHA256Mismatch":
        return over_tls
    return code == "SignatureDoesNotMatch" or (
        error_status(error) in _STATUSES
        and code not in _OTHER_CODES
        and not (code or "").startswith("XMinio")
        and failure_of(error) is Failure.BACKEND
        and retry_decision(error) is None
    )


def service_at(endpoint: str) -> Service:
    """The `Service` of an endpoint, shared by the process."""
    return _known.setdefault(endpoint, Service(endpoint))


_known: dict[str, Service] = {}
