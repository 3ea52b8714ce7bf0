"""What fsspec's FTP filesystem does not do by itself: read up to an end, tell why not, hang up.

Functions that run in a thread, on the filesystem they are given. They know FTP's commands, and
nothing of connections that break or of when they are called.
"""

from __future__ import annotations

import ftplib
import weakref
from contextlib import suppress
from typing import Any

__all__ = ["check_listable", "disconnect", "disconnect_with", "read_part"]

#: Bytes asked of the socket at once.
_PIECE = 1 << 16


def read_part(fs: Any, path: str, start: int, end: int) -> bytes:
    """Read up to an end, and hang up there.

    fsspec's own way may wait for a reply that does not come.
    """
    fs.ftp.voidcmd("TYPE I")
    data = bytearray()
    with fs.ftp.transfercmd(f"RETR {path}", rest=start or None) as connection:
        while len(data) < end - start:
            received = connection.recv(min(end - start - len(data), _PIECE))
            if not received:
                break
            data += received
    # One reply: that the transfer was aborted, which it was, or that it is complete.
    with suppress(ftplib.error_temp, ftplib.error_perm):
        fs.ftp.voidresp()
    return bytes(data)


def check_listable(fs: Any, folder: str) -> None:
    """Raise what the server says against listing a folder, which fsspec takes for an empty one."""
    try:
        fs.ftp.dir(folder or "/", lambda line: None)
    except ftplib.error_perm:
        try:
            fs.ftp.cwd(folder or "/")
        except ftplib.error_perm:
            # There is no such folder.
            return
        raise


def disconnect(fs: Any) -> None:
    """Close its connection, without a word to the server."""
    fs.ftp.close()


def disconnect_with(fs: Any) -> None:
    """Close its connection when the filesystem goes, if it was not closed before.

    The filesystem would do so itself, but as garbage its socket may go first, and complain. What
    watches garbage from outside is told before any of it goes.
    """
    weakref.finalize(fs, fs.ftp.close).atexit = False
