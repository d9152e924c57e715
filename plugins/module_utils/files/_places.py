# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Places on a disk, compared by device and inode; and a walk that leaves nothing out without saying so.

The text of a path says little: links, bind mounts, ``//`` and ``..`` lead to one directory under many names.
"""

from __future__ import annotations

import errno
import os
import stat
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import UnreadableError, reason_of, status

#: Device and inode; of what is not there yet, the identity of its parent and its name.
Identity = t.Tuple[t.Any, ...]
Fail = t.Callable[[UnreadableError], None]

_LINKS = 40
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def _link(path: str) -> str | None:
    """Where a symbolic link leads; None when the path is none."""
    found = status(path, follow=False)
    if found is None or not stat.S_ISLNK(found.st_mode):
        return None
    try:
        return os.path.join(os.path.dirname(path), os.readlink(path))
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc


def follow(path: str) -> str:
    """The path at the end of a chain of links, whether or not something is there."""
    for _step in range(_LINKS):
        target = _link(path)
        if target is None:
            return path
        path = target
    raise UnreadableError(path, "is a link in a circle")


def identity(path: str) -> Identity:
    """Which directory (or file) a path means, whatever leads to it, and also before it is made."""
    found = status(path)
    if found is None:
        end = follow(path)
        found = status(end)
        if found is None:
            head, tail = os.path.split(end.rstrip("/"))
            if tail in ("", ".", ".."):
                return identity(os.path.normpath(end)) if os.path.normpath(end) != end else ("nowhere", end)
            return (identity(head or os.curdir), tail)
    return (found.st_dev, found.st_ino)


def file_place(path: str) -> Identity:
    """A name in a directory, behind links: two names of one file (hard links) are two places."""
    head, tail = os.path.split(follow(path).rstrip("/"))
    return (identity(head or os.curdir), tail)


def resolve(path: str) -> str:
    """The path without links. os.path.realpath takes what cannot be looked at for a plain name; here it is an error."""
    real = os.path.realpath(path)
    part = ""
    for name in real.split("/")[1:]:
        part += "/" + name
        found = status(part, follow=False)
        if found is None:
            break
        if stat.S_ISLNK(found.st_mode):
            raise UnreadableError(path, f"cannot be followed beyond {part}")
    return real


def above(path: str) -> list[tuple[str, Identity]]:
    """The directories in which a place lies, the nearest first, without the root."""
    found = []
    head = os.path.dirname(resolve(path))
    while head not in ("", "/"):
        found.append((head, identity(head)))
        head = os.path.dirname(head)
    return found


class Directory(t.NamedTuple):
    """A directory on a walk: where it lies, in which directory it was met, and its files (name, path)."""

    path: str
    identity: Identity
    parent: Identity | None
    #: It has been met before, by another path; its files were given then.
    again: bool
    files: tuple[tuple[str, str], ...]


def walk(root: str, fail: Fail, skip: t.Container[Identity] = ()) -> t.Iterator[Directory]:
    """Every directory below a directory, each once, and its regular files; links are followed, as programs do.

    What cannot be looked at is told to fail; what has just gone is not there.
    """
    seen: set[Identity] = set()
    waiting: list[tuple[str, Identity | None]] = [(root, None)]
    while waiting:
        path, parent = waiting.pop()
        try:
            found = status(path)
        except UnreadableError as exc:
            fail(exc)
            continue
        if found is None:
            continue
        own = (found.st_dev, found.st_ino)
        if own in skip:
            continue
        if own in seen:
            yield Directory(path, own, parent, True, ())
            continue
        seen.add(own)
        files, below = _list(path, fail)
        yield Directory(path, own, parent, False, files)
        waiting.extend((name, own) for name in reversed(below))


def _list(path: str, fail: Fail) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The regular files (name, path) and directories in a directory, by name."""
    files, below = [], []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    found = kind(entry)
                except OSError as exc:
                    fail(UnreadableError(entry.path, reason_of(exc)))
                    continue
                if found == stat.S_IFDIR:
                    below.append(entry.path)
                elif found == stat.S_IFREG:
                    files.append((entry.name, entry.path))
    except OSError as exc:
        if exc.errno not in _ABSENT:
            fail(UnreadableError(path, reason_of(exc)))
    return tuple(sorted(files)), sorted(below)


def kind(entry: os.DirEntry[str]) -> int:
    """What an entry is, behind links; 0 for a link that leads nowhere."""
    if not entry.is_symlink():
        # The directory itself says so, without a look at each entry.
        if entry.is_dir(follow_symlinks=False):
            return stat.S_IFDIR
        return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0
    try:
        return stat.S_IFMT(os.stat(entry.path).st_mode)
    except OSError as exc:
        if exc.errno in (*_ABSENT, errno.ELOOP):
            return 0
        raise
