"""Owner, permissions and extended attributes of a file, given to the one that replaces it."""

from __future__ import annotations

import errno
import os
import stat

from .paths import is_no_file

__all__ = ["replaced_by", "take_over"]

#: Permissions that are kept. The kernel takes set-user-ID and set-group-ID away from a file that is
#: written to (write(2)), and the sticky bit means nothing.
_KEPT = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_ACL = "system.posix_acl_access"
_LABEL = "security.selinux"


def replaced_by(path: str) -> os.stat_result | None:
    """Status of the file that a value at this path replaces; ``None`` where there is none.

    Of a link to a file it is the file's, which readers of the key see.

    Raises
    ------
    IsADirectoryError
        When the path is a link to a folder.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    except IsADirectoryError:
        raise
    except OSError as error:
        if is_no_file(error):
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None


def take_over(descriptor: int, path: str, old: os.stat_result) -> None:
    """Give a new file what the one it replaces had, as far as this process may.

    Parameters
    ----------
    descriptor : int
        Of the new file, which only its owner may read yet.
    path : str
        Of the file it replaces.
    old : os.stat_result
        As `replaced_by` returns it.
    """
    mode = old.st_mode & _KEPT
    new = os.fstat(descriptor)
    if (
        (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid)
        and not _is_given(descriptor, old.st_uid, old.st_gid)
        and not _is_given(descriptor, -1, old.st_gid)
    ):
        # Another group must not get what was granted to the old one.
        mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    if hasattr(os, "listxattr"):
        _copy_attributes(path, descriptor)
    # Last: until now only the owner could open it.
    os.fchmod(descriptor, mode)


def _is_given(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError:
        return False
    return True


def _copy_attributes(path: str, descriptor: int) -> None:
    try:
        names = os.listxattr(path)
        inherited = os.listxattr(descriptor)
    except OSError:
        # File systems without them.
        return
    for name in names:
        # Capabilities and signatures are for the old bytes.
        if name.startswith("security.") and name != _LABEL:
            continue
        try:
            os.setxattr(descriptor, name, os.getxattr(path, name))
        except OSError:
            # Reserved for the system, or gone meanwhile.
            continue
    if _ACL in inherited and _ACL not in names:
        # The folder's default, which may grant more than the old file did.
        os.removexattr(descriptor, _ACL)
