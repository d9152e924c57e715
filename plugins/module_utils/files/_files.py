# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Reading and writing small files that must not be half there, and JSON that must mean one thing only."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
import typing as t

MIB = 1 << 20


class StakingError(Exception):
    """Something about keys, wallets or history is not as it must be; the text names the place and the reason."""


class UnreadableError(StakingError):
    """A place exists but cannot be read; whoever asked must count it as danger."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


def reason_of(exc: OSError) -> str:
    """The system's own words, without Python's decoration."""
    return exc.strerror or str(exc)


#: Only these say that nothing is there. EIO, EACCES or ESTALE mean that it cannot be looked at.
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def status(path: str, follow: bool = True, dir_fd: int | None = None, what: str | None = None) -> os.stat_result | None:
    """What lies at a path; None when nothing does. A path that cannot be looked at is an error, never absent."""
    try:
        return os.stat(path, dir_fd=dir_fd, follow_symlinks=follow)
    except OSError as exc:
        if exc.errno in _ABSENT:
            return None
        raise UnreadableError(what or path, reason_of(exc)) from exc


def is_there(path: str) -> bool:
    """Whether anything has this name, a link that leads nowhere included."""
    return status(path, follow=False) is not None


def is_directory(path: str) -> bool:
    """Whether a path leads to a directory."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: str) -> bool:
    """Whether a path leads to a regular file."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_same(path: str, other: str) -> bool:
    """Whether two paths lead to one file or directory: device and inode, not text."""
    one, two = status(path), status(other)
    return one is not None and two is not None and os.path.samestat(one, two)


def open_regular(path: str, dir_fd: int | None = None, what: str | None = None) -> int:
    """Open a regular file for reading; never follows a link at the end, never waits on a pipe or a device."""
    name = what or path
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise UnreadableError(name, "is a symbolic link") from exc
        raise UnreadableError(name, reason_of(exc)) from exc
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnreadableError(name, "is not a regular file")
    return fd


def flocked(fd: int, seconds: float = 0) -> bool:
    """Lock an open file or directory for this process alone; False where another one keeps it for longer than that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def read_file(path: str, limit: int, dir_fd: int | None = None, what: str | None = None) -> bytes:
    """The whole content of a regular file of at most limit bytes."""
    name = what or path
    fd = open_regular(path, dir_fd, name)
    try:
        size = os.fstat(fd).st_size
        if size > limit:
            raise UnreadableError(name, f"is {size} bytes long; at most {limit} are expected")
        chunks = []
        left = limit + 1
        while left > 0:
            chunk = os.read(fd, min(left, MIB))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
    except OSError as exc:
        raise UnreadableError(name, reason_of(exc)) from exc
    finally:
        os.close(fd)
    if left <= 0:
        raise UnreadableError(name, f"grew beyond {limit} bytes while it was read")
    return b"".join(chunks)


def _unique(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _value in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice!r:.60} occurs more than once")
    return found


def _number(text: str) -> int:
    # Old releases of Python take hours over a number of a million digits.
    if len(text) > 100:
        raise ValueError(f"a number of {len(text)} digits is nothing that belongs here")
    return int(text)


def _no_constant(text: str) -> t.NoReturn:
    raise ValueError(f"{text} is not JSON")


#: Decodes JSON that can be read in one way only: no repeated names, no NaN, no endless numbers.
DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_number)


def parse_json(data: bytes, what: str) -> t.Any:
    """Strict JSON; anything else is an error that names the place."""
    try:
        return DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise UnreadableError(what, "is not UTF-8 text") from exc
    except RecursionError as exc:
        raise UnreadableError(what, "is not JSON: it is nested too deeply") from exc
    except ValueError as exc:
        raise UnreadableError(what, f"is not JSON: {exc}") from exc


def fsync_directory(fd: int) -> None:
    """Make the names in a directory survive a power cut."""
    os.fsync(fd)


def open_directory(path: str, dir_fd: int | None = None, what: str | None = None) -> int:
    """Open a directory itself, not what a link points to."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as exc:
        reason = "is not a directory of its own (a link or a file)" if exc.errno == errno.ENOTDIR else reason_of(exc)
        raise UnreadableError(what or path, reason) from exc


def write_new(dir_fd: int, name: str, data: bytes, mode: int, owner: int, group: int) -> None:
    """Write a file that was not there, and do not return before it is on the disk."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        os.fchown(fd, owner, group)
        os.fchmod(fd, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
        # Whoever reads it next gets what the disk has, not what we still remember.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def remove_if_there(dir_fd: int, name: str) -> bool:
    """Remove a name; say whether it was there."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    return True


def replace_file(dir_fd: int, name: str, data: bytes, mode: int = 0o600, owner: int = -1, group: int = -1) -> None:
    """Put data under a name: afterwards, whatever happens, there is the old content or the new, never a part."""
    temporary = f".{name}.tmp"
    remove_if_there(dir_fd, temporary)
    try:
        write_new(dir_fd, temporary, data, mode, owner, group)
        os.replace(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        remove_if_there(dir_fd, temporary)
        raise
    fsync_directory(dir_fd)


def as_json(document: t.Any) -> bytes:
    """JSON as people read it and as it compares."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("utf-8")
