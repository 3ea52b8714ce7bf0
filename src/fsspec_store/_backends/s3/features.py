"""What a service that speaks S3 does without, learned once for a process from what it refuses.

Amazon takes everything a store sends. Other services refuse single optional headers, bulk deletes,
or the second version of listings, each with an error of its own choice. What a service refused is
left out of all later requests to it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from ..._core.failures import Failure
from .responses import (
    CONFLICT,
    DAMAGED,
    OUT_OF_RANGE,
    PRECONDITION_FAILED,
    error_code,
    error_status,
    failure_of,
    verdict,
)

__all__ = [
    "BULK_DELETE",
    "CHECKSUMS",
    "CHECKSUM_MODE",
    "LIST_V2",
    "OPTIONAL",
    "Service",
    "may_be_refused",
    "service_at",
]

logger = logging.getLogger("fsspec_store.s3")

#: The header by which a read asks for the checksum of the object.
CHECKSUM_MODE = "x-amz-checksum-mode"
#: The headers by which a write says its checksum.
CHECKSUMS = "x-amz-checksum-*"
BULK_DELETE = "DeleteObjects"
LIST_V2 = "ListObjectsV2"

#: By method, what its request can be sent without.
OPTIONAL = {
    "get_object": CHECKSUM_MODE,
    "put_object": CHECKSUMS,
    "upload_part": CHECKSUMS,
    "create_multipart_upload": CHECKSUMS,
    "list_objects_v2": LIST_V2,
}
_LOST = {
    CHECKSUM_MODE: "values that are read are not compared with their stored checksums",
    CHECKSUMS: "uploads are sent without a CRC-32",
    BULK_DELETE: "keys are deleted one by one",
    LIST_V2: "keys are listed by ListObjects, version 1",
}
#: Statuses by which services refuse what they do not know (RFC 9110, section 15.5 and 15.6).
_STATUSES = frozenset({400, 405, 411, 413, 415, 417, 501})
#: Errors of these statuses that say what else is wrong.
_OTHER_CODES = CONFLICT | DAMAGED | OUT_OF_RANGE | PRECONDITION_FAILED


@dataclass
class Service:
    """What is known of the service at one endpoint.

    Attributes
    ----------
    endpoint : str
        Its URL.
    refused : frozenset of str
        What it does without.
    """

    endpoint: str
    refused: frozenset[str] = field(default_factory=frozenset)

    def refuses(self, feature: str, why: object) -> None:
        """Leave something out from now on; the log says so once."""
        if feature not in self.refused:
            self.refused |= {feature}
            logger.warning(
                "%s refuses %s (%s): %s from now on", self.endpoint, feature, why, _LOST[feature]
            )


def may_be_refused(error: Exception) -> bool:
    """Whether a service may have refused an optional part of a request.

    ``SignatureDoesNotMatch`` counts: a proxy that drops or changes a signed header has that effect.

    Parameters
    ----------
    error : Exception
        What the request raised.
    """
    code = error_code(error)
    if code == "SignatureDoesNotMatch":
        return True
    return (
        error_status(error) in _STATUSES
        and code not in _OTHER_CODES
        and not (code or "").startswith("XMinio")
        and failure_of(error) is Failure.BACKEND
        and verdict(error) is None
    )


def service_at(endpoint: str) -> Service:
    """What this process knows of the service at an endpoint."""
    return _known.setdefault(endpoint, Service(endpoint))


_known: dict[str, Service] = {}
