"""S3's calls: by the native transport where it supports them, by s3fs otherwise.

A call has botocore's name and parameters; ``Body`` may be a view, ``Into`` is memory that the body
of a part goes to, ``WholeUpTo`` is the size in bytes above which a body is left to be read, and
``Longest`` bounds a body of unknown length. An answer has these of botocore's members, and some in
another form:

``get_object``
    ``Body``: the bytes, or of more than ``WholeUpTo`` a `Stream`; ``ContentLength``,
    ``ContentRange``, ``ETag``, ``ResponseMetadata``; ``Check``: beside a stream of a whole object
    whose checksum the service stated, what raises for other bytes.
``head_object``
    ``ContentLength`` is ``None`` where the service did not say it.
``list_objects_v2``
    ``Objects``: pairs of key and size, which is ``None`` where the service did not list it;
    ``Prefixes``: with their ``/``; ``Next``: the token of the next page, or ``None``; ``Answered``:
    the prefix that the answer says it is of, or ``""``.

Knows neither policy nor limit: a call is one attempt.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from ..._core.redaction import hidden
from ..._http.aiohttp_sessions import close_now, without_own_repeats
from .bounded import bound_session
from .checksums import ChecksumError
from .error_responses import UnexpectedResponseError
from .features import (
    CHECKSUM_MODE,
    CHECKSUMS,
    LIST_V2,
    OPTIONAL,
    Service,
    may_be_unsupported,
    service_at,
)
from .foreign import not_s3, unreadable
from .library import as_bytes, is_version_1, to_native_form, version_1_params
from .native import NativeTransport
from .responses import (
    CORRUPT_BODY,
    OUT_OF_RANGE,
    PRECONDITION_FAILED,
    are_credentials_rejected,
    error_code,
    redact_signatures,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._http.credential_lookups import LookupRate
    from ..._http.retrier import Stats
    from ..._http.retry_policy import RetryPolicy
    from .native import Target

__all__ = ["Transports", "http_sessions", "secrets_of"]

#: Parameters that botocore does not know.
_OURS = frozenset({"Into", "Longest", "WholeUpTo"})
#: Calls whose answers are a head and little more.
_WITHOUT_PAGE = frozenset(
    {"delete_object", "get_object", "head_bucket", "head_object", "put_object", "upload_part"}
)
#: More than a page of 1,000 keys has, in bytes.
_PAGE_BYTES = 2**20
_COMPLETION_SECONDS = 900.0
#: Errors by which a service answers a request that it understood.
_ANSWERS = OUT_OF_RANGE | PRECONDITION_FAILED
_CALCULATION = "request_checksum_calculation"


class Transports:
    """The transports of one s3fs filesystem on one event loop.

    Parameters
    ----------
    fs : S3FileSystem
        The loop's own.
    policy : RetryPolicy
        Its timeouts.
    is_native : bool
        Whether the native transport may send requests.
    rate : LookupRate, optional
        How often credentials may be looked for again; left out where the user's options hold them.

    Attributes
    ----------
    is_refused : bool
        Whether credentials were refused, or not found.
    is_over : bool
        Whether they were closed: a call in flight closes the connections that it opens.
    """

    def __init__(
        self, fs: Any, policy: RetryPolicy, *, is_native: bool, rate: LookupRate | None = None
    ) -> None:
        self.fs = fs
        self.native = NativeTransport(fs, policy) if is_native else None
        self.is_over = False
        self._policy = policy
        self._rate = rate
        self.is_refused = False
        self._service: Service | None = None
        self._finding = asyncio.Lock()
        self._trying = asyncio.Lock()
        #: Optional parts of requests, and errors that came without them as well.
        self._not_the_cause: set[tuple[str, str | None]] = set()
        #: What botocore was told of checksums, by its clients.
        self._calculation: dict[Any, str] = {}

    def must_be_renewed(self) -> bool:
        """Whether `is_refused`, and credentials may be looked for again."""
        return self.is_refused and self._rate is not None and self._rate.take()

    def may_ask_why(self) -> bool:
        """Whether a refused HEAD may be followed by a GET, whose response states the reason."""
        return self._rate is not None and self._rate.take()

    async def service(self) -> Service:
        """What is known of the service that calls go to."""
        try:
            return self._service or await self._find_service()
        except Exception as error:
            self._translate(error)
            raise

    async def call(
        self,
        method: str,
        params: dict[str, Any],
        stats: Stats,
        *,
        without: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """Send a call once.

        Parameters
        ----------
        method, params
            botocore's name and parameters of the call, as the module says.
        stats : Stats
            Counts of the store's requests.
        without : frozenset of str, optional
            Optional parts of requests to leave out; those that the service refused when left out.

        Raises
        ------
        ChecksumError
            When a body was damaged in transit, in either direction.
        OSError
            As s3fs raises it.
        """
        try:
            service = self._service or await self._find_service()
            refused = service.unsupported if without is None else without
            native, target = self.native, None
            if native is not None:
                key = (params["Bucket"], method)
                known = native.targets
                target = known[key] if key in known else await native.discover(*key)
            try:
                if native is None or target is None:
                    return await self._call_s3fs(method, params, refused)
                stats.native += 1
                try:
                    return await native.methods[method](target, params, refused)
                except UnexpectedResponseError as reason:
                    # A second request, in the same attempt.
                    stats.requests += 1
                    return await self._fall_back(native, target, method, params, refused, reason)
            except OSError as error:
                if without is not None or method not in OPTIONAL or not may_be_unsupported(error):
                    raise
                return await self._call_without(service, error, method, params, stats)
        except Exception as error:
            self._translate(error)
            raise

    def _translate(self, error: Exception) -> None:
        """Raise another error where that of s3fs has another meaning here."""
        code = error_code(error)
        if code in CORRUPT_BODY:
            # From here, and not by the service's answer, since that is no reason to give up.
            raise ChecksumError(f"{code}: {error}") from None
        if isinstance(error, FileNotFoundError | PermissionError) and not code:
            self.is_refused = True
            # It comes from a file or a program that gives credentials, and says nothing of a key.
            raise botocore.exceptions.CredentialRetrievalError(
                provider="a file or program", error_msg=str(error)
            ) from error
        self.is_refused = self.is_refused or are_credentials_rejected(error)

    async def _find_service(self) -> Service:
        # Older releases of s3fs make a client for each call that comes before there is one.
        async with self._finding:
            if self._service is None:
                await self.fs.set_session()
                meta = getattr(self.fs._s3, "meta", None)
                endpoint = getattr(meta, "endpoint_url", None)
                self._service = service_at(endpoint) if endpoint else Service("S3")
        return self._service

    async def _call_without(
        self,
        service: Service,
        error: Exception,
        method: str,
        params: dict[str, Any],
        stats: Stats,
    ) -> dict[str, Any]:
        """Repeat a refused call without its optional part, or raise what it was refused with.

        One call tries this at a time, and once for each kind of error: a wrong secret costs no
        further requests.
        """
        part, cause = OPTIONAL[method], error_code(error)
        if part == CHECKSUM_MODE and "ChecksumMode" not in params:
            raise error
        async with self._trying:
            if part not in service.unsupported:
                if (part, cause) in self._not_the_cause:
                    raise error
                stats.requests += 1
                try:
                    answer = await self.call(
                        method, params, stats, without=service.unsupported | {part}
                    )
                except OSError as again:
                    if isinstance(again, FileNotFoundError) or error_code(again) in _ANSWERS:
                        service.mark_unsupported(part, cause)
                    elif error_code(again) == cause:
                        self._not_the_cause.add((part, cause))
                    raise
                service.mark_unsupported(part, cause)
                return answer
        stats.requests += 1
        return await self.call(method, params, stats, without=service.unsupported)

    async def _fall_back(
        self,
        native: NativeTransport,
        target: Target,
        method: str,
        params: dict[str, Any],
        refused: frozenset[str],
        reason: UnexpectedResponseError,
    ) -> dict[str, Any]:
        """Repeat a call by s3fs, after a response that only s3fs may understand."""
        # It is logged.
        reason.args = (redact_signatures(hidden(str(reason), secrets_of(self.fs))),)
        try:
            answer = await self._call_s3fs(method, params, refused)
        except FileNotFoundError:
            native.fell_back(params["Bucket"], method, target, reason)
            raise
        native.fell_back(params["Bucket"], method, target, reason)
        return answer

    async def _call_s3fs(
        self, method: str, params: dict[str, Any], refused: frozenset[str]
    ) -> dict[str, Any]:
        service = await self.service()
        for session in http_sessions(self.fs):
            # They are made one by one, so this is asked for before each request.
            bound_session(without_own_repeats(session))
        given = {name: value for name, value in params.items() if name not in _OURS}
        if CHECKSUM_MODE in refused:
            given.pop("ChecksumMode", None)
        await self._set_checksums(given["Bucket"], CHECKSUMS not in refused)
        if "Metadata" in given:
            # What every object of this filesystem gets, s3fs would leave out.
            of_all = getattr(self.fs, "s3_additional_kwargs", {}).get("Metadata", {})
            given["Metadata"] = {**of_all, **given["Metadata"]}
        called = method
        if method == "delete_objects":
            # The answer to a quiet one is empty, and botocore takes any document for an empty one.
            given["Delete"] = {**given["Delete"], "Quiet": False}
        elif method == "list_objects_v2" and LIST_V2 in refused:
            called, given = "list_objects", version_1_params(given)
        sent = 0
        if "Body" in given:
            given["Body"] = as_bytes(given["Body"])
            sent = len(given["Body"])
        longest = self._longest(method, sent)
        try:
            async with asyncio.timeout(longest) as limit:
                # Older releases of s3fs leave it to each caller to say who pays.
                response: dict[str, Any] = await self.fs._call_s3(called, self.fs.req_kw, **given)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"no complete response for {longest:g} s") from error
        except Exception as error:
            if not method.startswith("head_") and (foreign := not_s3(error)) is not None:
                raise foreign from None
            if (unread := unreadable(error)) is not None:
                raise unread from error
            raise
        finally:
            if self.is_over:
                for session in http_sessions(self.fs):
                    close_now(session)
        answer = await to_native_form(method, params, response, self._policy)
        if called == "list_objects_v2" and is_version_1(response):
            service.mark_unsupported(LIST_V2, "it gave no NextContinuationToken")
        return answer

    async def _set_checksums(self, bucket: str, wanted: bool) -> None:
        """Have botocore send checksums of uploads as the user configured it, or none."""
        if wanted and not self._calculation:
            return
        config = getattr((await self.fs.get_s3(bucket)).meta, "config", None)
        # Releases of botocore before this option send no checksums by default.
        configured = getattr(config, _CALCULATION, None)
        if configured is not None:
            configured = self._calculation.setdefault(config, configured)
            setattr(config, _CALCULATION, configured if wanted else "when_required")

    def _longest(self, method: str, sent: int) -> float:
        """Seconds that a call may take, a value's body not included.

        aiohttp's timeouts bound pauses, and begin when the request's body is sent. s3fs may have to
        fetch credentials first, or to ask in another region.
        """
        if method == "complete_multipart_upload":
            # S3 sends a head, and then white space as long as it puts the parts together (S3 API
            # Reference, "CompleteMultipartUpload").
            return max(_COMPLETION_SECONDS, self._policy.timeout)
        received = 0 if method in _WITHOUT_PAGE else _PAGE_BYTES
        return self._policy.timeout + self._policy.transfer_timeout(sent, received)


def secrets_of(fs: Any) -> set[str]:
    """The secret key and the session token of an s3fs filesystem's requests so far."""
    signer = getattr(getattr(fs, "_s3", None), "_request_signer", None)
    credentials = getattr(signer, "_credentials", None)
    # Credentials that are renewed keep the current ones below names of their own.
    names = ("secret_key", "token", "_secret_key", "_token")
    held = {} if credentials is None else vars(credentials)
    return {text for name in names if isinstance(text := held.get(name), str)}


def http_sessions(fs: Any) -> Iterator[Any]:
    """The aiohttp sessions of an s3fs filesystem so far."""
    creator = getattr(fs, "_s3creator", None)
    clients = [getattr(fs, "_s3", None), *getattr(creator, "_regions", {}).values()]
    for client in clients:
        http = getattr(getattr(client, "_endpoint", None), "http_session", None)
        yield from (getattr(http, "_sessions", None) or {}).values()
