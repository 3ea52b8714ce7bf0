"""Owner, permissions and extended attributes, copied from a file to the one that replaces it."""

from __future__ import annotations

import errno
import os
import stat

from .paths import is_no_file

__all__ = ["copy_attributes", "replaced_status"]

#: Copied permissions. The kernel clears set-user-ID and set-group-ID on a write (write(2)), and the
#: sticky bit has no effect on files.
_COPIED = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
_ACL = "system.posix_acl_access"
_LABEL = "security.selinux"


def replaced_status(path: str) -> os.stat_result | None:
    """Status of the file that a value at this path replaces; ``None`` if there is none.

    For a link to a file it is the status of the file. A link to a folder is an error.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        if is_no_file(error):
            return None
        raise
    if stat.S_ISDIR(status.st_mode) and os.path.islink(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return status if stat.S_ISREG(status.st_mode) else None


def copy_attributes(descriptor: int, path: str, old: os.stat_result) -> None:
    """Copy owner, permissions and extended attributes, as far as this process may.

    The new file, given by its descriptor, is so far readable only by its owner. The old one is
    given by its path and `replaced_status`.
    """
    mode = old.st_mode & _COPIED
    new = os.fstat(descriptor)
    if (
        (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid)
        and not _change_owner(descriptor, old.st_uid, old.st_gid)
        and not _change_owner(descriptor, -1, old.st_gid)
    ):
        # Another group must not get the permissions of the old group.
        mode = mode & ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    if hasattr(os, "listxattr"):
        _copy_extended(path, descriptor)
    # Last: until here only the owner can open the file.
    os.fchmod(descriptor, mode)


def _change_owner(descriptor: int, user: int, group: int) -> bool:
    try:
        os.fchown(descriptor, user, group)
    except OSError:
        return False
    return True


def _copy_extended(path: str, descriptor: int) -> None:
    try:
        names = os.listxattr(path)
        inherited = os.listxattr(descriptor)
    except OSError:
        # The file system has no extended attributes.
        return
    for name in names:
        # Capabilities and signatures apply to the old bytes.
        if name.startswith("security.") and name != _LABEL:
            continue
        try:
            os.setxattr(descriptor, name, os.getxattr(path, name))
        except OSError:
            # Reserved for the system, or removed meanwhile.
            continue
    if _ACL in inherited and _ACL not in names:
        # The default ACL of the folder may grant more than the old file.
        os.removexattr(descriptor, _ACL)
