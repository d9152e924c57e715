# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The locks of a validator client, which a local process takes by flock and a client of the NFS server as a byte range.

There are two in its data directory: the guard's on .validator-lock, held from before its checks until the pod ends, and
Prysm's own on validator.db. The first is never removed, renamed or replaced by anything.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    fsync_directory,
    is_there,
    open_regular,
    reason_of,
    remove_if_there,
    status,
    write_new,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE, LOCK
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd

#: Seconds to wait for the end of the NFS server's grace period; 90 s is what a server has that nobody configured.
PATIENCE = 120.0

# struct flock of 64-bit Linux: type, whence, (padding), start, length, pid, (padding)
_FLOCK = "hhxxxxqqixxxx"
#: A byte-range lock that belongs to the open file, not to the process (fcntl.F_OFD_SETLK from Python 3.9 on).
_F_OFD_SETLK = 37
_BUSY = (errno.EAGAIN, errno.EACCES)


def lock_holder(path: str) -> str | None:
    """Who holds a lock on a file, in words; None when it is free or the file is not there.

    bbolt locks the whole file with flock. The kernel's NFS client turns that into a byte-range lock, which is what
    the server sees, so both kinds are looked for. Nothing is locked for longer than the question takes. While the NFS
    server does not know the locks of its clients, every file counts as locked.
    """
    if not is_there(path):
        return None
    hidden = _nfsd.blind(PATIENCE)
    if hidden is not None:
        return f"an NFS client, perhaps: {hidden}"
    return local_holder(path)


def local_holder(path: str) -> str | None:
    """What the kernel of this machine says about a lock, which during the grace period of its NFS server is not all."""
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
    """Hold both kinds of lock, so that no client can open the database meanwhile; False when another one has one.

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
        yield take(fd, path)
    finally:
        os.close(fd)


def take(fd: int, path: str) -> bool:
    """Take both kinds of lock on an open file, for as long as it is open; False when another one has one."""
    hidden = _nfsd.blind(PATIENCE)
    taken = hidden is None and _take_both(fd, path)
    # Once more: what was free because the server had just stopped was not free.
    hidden = hidden or (_nfsd.blind() if taken else None)
    if hidden is not None:
        raise UnreadableError(path, f"whether it is locked is not known: {hidden}")
    if taken:
        now = status(path, follow=False)
        if now is None or not os.path.samestat(now, os.fstat(fd)):
            raise UnreadableError(path, "was replaced by another file at this very moment")
    return taken


def make_client_lock(data_dir: str) -> str:
    """The file that the guard locks, made when it is missing; its path."""
    path = os.path.join(data_dir, LOCK)
    if is_there(path):
        return path
    temporary = f"{LOCK}.{os.getpid()}.tmp"
    try:
        folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            owner = os.fstat(folder)
            remove_if_there(folder, temporary)
            write_new(folder, temporary, b"", 0o600, owner.st_uid, owner.st_gid)
            try:
                # Not a rename: one that another has made, and perhaps locked, meanwhile stays.
                os.link(temporary, LOCK, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                pass
            finally:
                remove_if_there(folder, temporary)
            fsync_directory(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        raise UnreadableError(path, f"cannot be made: {reason_of(exc)}") from exc
    return path


@contextlib.contextmanager
def hold_client(data_dir: str) -> t.Iterator[bool]:
    """Keep a validator client from starting: hold its lock and its database's; False when it runs or waits to run.

    A directory that is not there has no client.
    """
    if not is_there(data_dir):
        yield True
        return
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(hold(make_client_lock(data_dir)))
        yield held and stack.enter_context(hold(os.path.join(data_dir, DATABASE)))


def _take_both(fd: int, path: str) -> bool:
    ranged = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno in _BUSY:
                return False
            raise
        for again in (False, True):
            try:
                if again:
                    fcntl.flock(fd, fcntl.LOCK_UN)
                fcntl.fcntl(fd, _F_OFD_SETLK, ranged)
                return True
            except OSError as exc:
                if exc.errno not in _BUSY:
                    raise
                # Reached by NFS, the first kind of lock is the second kind as well, and stands in our own way.
    except OSError as exc:
        raise UnreadableError(path, f"cannot be locked: {reason_of(exc)}") from exc
    return False
