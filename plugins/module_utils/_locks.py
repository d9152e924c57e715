# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Whether somebody holds the lock on a database: a local process (flock) or a client of the NFS server (byte range)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import UnreadableError, open_regular, reason_of

# struct flock of 64-bit Linux: type, whence, (padding), start, length, pid, (padding)
_FLOCK = "hhxxxxqqixxxx"


def lock_holder(path: str) -> str | None:
    """Who holds a lock on a file, in words; None when nobody does or the file is not there.

    bbolt locks the whole file with flock. The kernel's NFS client turns that into a byte-range lock, which is what
    the server sees, so both kinds are looked for. Nothing is locked for longer than the question takes.
    """
    if not os.path.lexists(path):
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
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                return "a process on this machine"
            raise
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as exc:
        raise UnreadableError(path, f"cannot ask for its lock: {reason_of(exc)}") from exc
    finally:
        os.close(fd)
    return None
