"""FTP operations that fsspec's filesystem lacks: bounded reads and list errors.

These functions block. Broken connections are handled by `methods`.
"""

from __future__ import annotations

import ftplib
from contextlib import suppress
from typing import Any

__all__ = ["check_listable", "read_part"]

#: Maximum bytes per ``recv``.
_CHUNK = 1 << 16


def read_part(fs: Any, path: str, start: int, end: int) -> bytes:
    """Read bytes ``start`` to ``end``, and close the data connection.

    fsspec's ``cat_file`` may wait for a reply that is never sent.
    """
    fs.ftp.voidcmd("TYPE I")
    data = bytearray()
    with fs.ftp.transfercmd(f"RETR {path}", rest=start or None) as connection:
        while len(data) < end - start:
            received = connection.recv(min(end - start - len(data), _CHUNK))
            if not received:
                break
            data += received
    # One reply: the transfer was aborted, or is complete.
    with suppress(ftplib.error_temp, ftplib.error_perm):
        fs.ftp.voidresp()
    return bytes(data)


def check_listable(fs: Any, folder: str) -> None:
    """Raise the server's error for a folder that fsspec reports as empty."""
    try:
        fs.ftp.dir(folder or "/", lambda line: None)
    except ftplib.error_perm:
        try:
            fs.ftp.cwd(folder or "/")
        except ftplib.error_perm:
            # There is no such folder.
            return
        raise
