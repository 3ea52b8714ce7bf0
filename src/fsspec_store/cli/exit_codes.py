"""The exit codes of the command, and the one that each error of the package has."""

from __future__ import annotations

import errno
from enum import IntEnum

from ..errors import (
    AccessDeniedError,
    BackendError,
    BucketNotFoundError,
    ByteRangeError,
    InvalidKeyError,
    MissingExtraError,
    PlanError,
    ReadOnlyError,
    RefusedError,
    StorageOptionError,
    StoreURLError,
    UnsupportedOperationError,
)

__all__ = ["MEANINGS", "ExitCode", "code_of", "is_interruption"]


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    DONE = 0
    #: Differences were found, or the work is incomplete.
    INCOMPLETE = 1
    USAGE = 2
    NOT_FOUND = 3
    ACCESS_DENIED = 4
    #: Some keys failed, and the others are done.
    SOME_FAILED = 5
    UNREACHABLE = 6
    #: Refused for safety. Nothing was changed.
    REFUSED = 7
    INTERRUPTED = 130
    #: Standard output was closed by its reader, as by ``| head``: 128 and the number of SIGPIPE.
    CLOSED_PIPE = 141


#: What each code means, for the help.
MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.INCOMPLETE: "differences were found, or the work is incomplete",
    ExitCode.USAGE: "wrong usage",
    ExitCode.NOT_FOUND: "no such key, prefix or bucket",
    ExitCode.ACCESS_DENIED: "access denied, or no credentials",
    ExitCode.SOME_FAILED: "some keys failed, the others are done",
    ExitCode.UNREACHABLE: "the service cannot be reached, or it failed",
    ExitCode.REFUSED: "refused for safety, nothing was changed",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
    ExitCode.CLOSED_PIPE: "the reader of standard output has closed the pipe",
}

#: The first row that matches is the code. All other errors are `ExitCode.INCOMPLETE`.
_CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode], ...] = (
    (RefusedError, ExitCode.REFUSED),
    ((BucketNotFoundError, FileNotFoundError), ExitCode.NOT_FOUND),
    ((AccessDeniedError, PermissionError), ExitCode.ACCESS_DENIED),
    (
        (
            ByteRangeError,
            InvalidKeyError,
            MissingExtraError,
            PlanError,
            ReadOnlyError,
            StorageOptionError,
            StoreURLError,
            UnsupportedOperationError,
        ),
        ExitCode.USAGE,
    ),
    ((BackendError, ConnectionError, TimeoutError), ExitCode.UNREACHABLE),
)


#: Numbers of the errors of a full disk, an exceeded quota, and a file that is too large.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_interruption(error: BaseException) -> bool:
    """Whether an error is Ctrl-C or SIGTERM.

    In the first instruction of ``Condition.wait`` it becomes an error of the released lock.
    """
    if isinstance(error, RuntimeError):
        return isinstance(error.__context__, KeyboardInterrupt)
    return isinstance(error, KeyboardInterrupt)


def code_of(error: BaseException) -> ExitCode:
    """The exit code of an error; of a group, that of all its errors or `ExitCode.SOME_FAILED`."""
    if isinstance(error, BaseExceptionGroup):
        codes = {code_of(each) for each in error.exceptions}
        return codes.pop() if len(codes) == 1 else ExitCode.SOME_FAILED
    if is_interruption(error):
        return ExitCode.INTERRUPTED
    # Only standard output raises it: an error of a connection is a `BackendError`.
    if isinstance(error, BrokenPipeError):
        return ExitCode.CLOSED_PIPE
    # Of one key: others may fit.
    if isinstance(error, BackendError) and getattr(error.__cause__, "errno", None) in _NO_SPACE:
        return ExitCode.SOME_FAILED
    # The folder of a web server may be missing, or be one that it does not list.
    if isinstance(error.__cause__, FileNotFoundError):
        return ExitCode.NOT_FOUND
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.INCOMPLETE
