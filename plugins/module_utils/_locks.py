# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The lock on a database, which a local process takes by flock and a client of the NFS server as a byte range."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import (
    UnreadableError,
    is_there,
    open_regular,
    reason_of,
)

# struct flock of 64-bit Linux: type, whence, (padding), start, length, pid, (padding)
_FLOCK = "hhxxxxqqixxxx"
#: A byte-range lock that belongs to the open file, not to the process (fcntl.F_OFD_SETLK from Python 3.9 on).
_F_OFD_SETLK = 37
_BUSY = (errno.EAGAIN, errno.EACCES)


def lock_holder(path: str) -> str | None:
    """Who holds a lock on a file, in words; None when nobody does or the file is not there.

    bbolt locks the whole file with flock. The kernel's NFS client turns that into a byte-range lock, which is what
    the server sees, so both kinds are looked for. Nothing is locked for longer than the question takes.
    """
    if not is_there(path):
        return None
    fd = open_regular(path)
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        if answer[0] != fcntl.F_UNLCK:
            return f"process {answer[4]}" if answer[4] > 0 else "another process or an NFS client"
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in _BUSY:
                return "a process on this machine"
            raise
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as exc:
        raise UnreadableError(path, f"cannot ask for its lock: {reason_of(exc)}") from exc
    finally:
        os.close(fd)
    return None


@contextlib.contextmanager
def hold(path: str) -> t.Iterator[bool]:
    """Hold both kinds of lock, so that no client can open the database meanwhile; False when somebody else has one.

    A file that is not there cannot be held: its client has never run.
    """
    if not is_there(path):
        yield True
        return
    os.close(open_regular(path))
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    try:
        yield _take_both(fd, path)
    finally:
        os.close(fd)


def _take_both(fd: int, path: str) -> bool:
    ranged = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    for again in (False, True):
        try:
            fcntl.flock(fd, fcntl.LOCK_UN if again else fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(fd, _F_OFD_SETLK, ranged)
            return True
        except OSError as exc:
            if exc.errno not in _BUSY:
                raise UnreadableError(path, f"cannot be locked: {reason_of(exc)}") from exc
            # Reached by NFS, the first kind of lock is the second kind as well, and stands in our own way.
    return False
