# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Every file on a machine's own disks that may hold validator keys, or what they signed.

Names alone are looked at, so that some hundred thousand files take about a second. Nothing is left out for being large:
a container's layer and an image can hold a wallet as well as a home directory.
"""

from __future__ import annotations

import errno
import os
import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    UnreadableError,
    is_directory,
    is_file,
    is_same,
    is_there,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _wallet
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _stores
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._stores import may_matter

_MOUNTS = "/proc/self/mountinfo"

#: Local, though not on a block device of their own.
_LOCAL = ("bcachefs", "btrfs", "ecryptfs", "ubifs", "virtiofs", "zfs")
#: In memory: whoever wants a key to be on no disk puts it there, and it signs as well.
_MEMORY = ("ramfs", "tmpfs")
#: Packed, signed and read-only: snaps.
_PACKED = ("erofs", "squashfs")
#: The kernel's own; of /dev, programs use only the memory.
_KERNEL = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"

Fail = t.Callable[[UnreadableError], None]


class Mount(t.NamedTuple):
    """A mounted file system, or a part of one (root) at a place (point)."""

    number: int
    device: str
    root: str
    point: str
    kind: str

    def is_local(self) -> bool:
        """Whether it is this machine's own, and can hold what somebody wrote."""
        if self.point == "/":
            return True
        if below(self.point, _KERNEL) and not below(self.point, [_SHARED_MEMORY]):
            return False
        if self.kind in _PACKED:
            return False
        return self.kind in _LOCAL or self.kind in _MEMORY or not self.device.startswith("0:")


def below(path: str, directories: t.Iterable[str]) -> bool:
    """Whether a path is one of these directories or lies in one."""
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in directories)


def parse_mounts(text: str) -> list[Mount]:
    """The kernel's list of what is mounted where."""

    def plain(field: str) -> str:
        return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)

    found = []
    for line in text.splitlines():
        fields, _dash, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest or not words[0].isdigit():
            raise UnreadableError(_MOUNTS, f"has a line that is not a mount: {line[:80]!r}")
        found.append(Mount(int(words[0]), words[2], plain(words[3]), plain(words[4]), rest.split(" ")[0]))
    return found


def read_mounts() -> list[Mount]:
    """What is mounted on this machine."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as handle:
            return parse_mounts(handle.read())
    except OSError as exc:
        raise UnreadableError(_MOUNTS, reason_of(exc)) from exc


def _shows(mount: Mount) -> bool:
    """Whether its place shows this mount: not a file, and nothing is mounted over it."""
    try:
        fd = os.open(mount.point, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
            return any(line.split() == ["mnt_id:", str(mount.number)] for line in lines)
    finally:
        os.close(fd)


def _again(mount: Mount, earlier: t.Iterable[Mount], paths: t.Sequence[str]) -> bool:
    """Whether what it shows is seen at another place too, as with a bind mount."""
    for other in earlier:
        if other.device == mount.device and below(mount.root, [other.root]):
            there = os.path.normpath(os.path.join(other.point, os.path.relpath(mount.root, other.root)))
            if below(there, paths) and is_same(there, mount.point):
                return True
    return False


def starts(mounts: t.Sequence[Mount], paths: t.Sequence[str], exclude: t.Sequence[str], fail: Fail) -> list[str]:
    """Where to begin: the paths themselves, and every local file system that is mounted below them, once."""
    local: list[Mount] = []
    begin: list[str] = []
    # A whole file system before a part of it.
    for mount in sorted(mounts, key=lambda item: len(item.root)):
        if not mount.is_local() or below(mount.point, exclude):
            continue
        try:
            if not _shows(mount):
                continue
        except OSError as exc:
            fail(UnreadableError(mount.point, reason_of(exc)))
            continue
        if below(mount.point, paths) and not _again(mount, local, paths):
            begin.append(mount.point)
        local.append(mount)
    points = {mount.point for mount in local}
    for path in paths:
        holder = max((mount.point for mount in mounts if below(path, [mount.point])), key=len, default="/")
        if holder not in points:
            fail(UnreadableError(path, f"is not on a disk of this machine (but on {holder}), and is not searched"))
        elif path not in begin and not below(path, exclude) and is_there(path):
            begin.append(path)
    return begin


def _target(entry: os.DirEntry[str], foreign: t.Sequence[str]) -> str | None:
    """What a link leads to; None when that is found under its own name, is no file, or is not this machine's."""
    path = os.path.normpath(os.path.join(os.path.dirname(entry.path), os.readlink(entry.path)))
    # A server that is gone must not hold us up: not even a look at it.
    if may_matter(os.path.basename(path)) or below(path, foreign):
        return None
    try:
        os.stat(path)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return None  # links in a circle: nobody can open it
    path = os.path.realpath(path)
    return path if is_file(path) else None


def _glance(path: str) -> bool:
    """Whether to look closer, which costs as much as all else here: a machine has thousands of JSON files."""
    try:
        with open(path, "rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            head = handle.read(4096)
            if _boltdb.is_bolt(handle.fileno(), size, head):
                return True
            data = head if size > _wallet.WALLET_LIMIT else head + handle.readall()
            listed = path.lower().endswith((".yaml", ".yml")) and _stores.may_be_listed(data)
            return listed or _stores.may_be_sealed(data)
    except OSError:
        return True  # Looking closer says why.


def _candidate(entry: os.DirEntry[str], foreign: t.Sequence[str]) -> str | None:
    if entry.is_symlink():
        return _target(entry, foreign)
    if not entry.is_file(follow_symlinks=False):
        return None
    if entry.name == DATABASE or _wallet.FILE in entry.name.lower():
        return entry.path
    return entry.path if _glance(entry.path) else None


def candidates(
    mounts: t.Sequence[Mount], paths: t.Sequence[str], exclude: t.Sequence[str], fail: Fail
) -> t.Iterator[str]:
    """Every file, and every minimal database, that may matter; each once, whatever leads to it."""
    paths = [os.path.realpath(path) for path in paths]
    exclude = [os.path.realpath(path) for path in exclude]
    foreign = [mount.point for mount in mounts if not mount.is_local()]
    stops = {*(mount.point for mount in mounts), *exclude}
    waiting = starts(mounts, paths, exclude, fail)
    visited = set(waiting)
    given: set[str] = set()
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    found = None
                    if entry.is_dir(follow_symlinks=False):
                        if entry.path in stops or entry.path in visited:
                            continue
                        waiting.append(entry.path)
                        if entry.name == _protection.MINIMAL and is_directory(
                            os.path.join(entry.path, "slashing-protection")
                        ):
                            found = entry.path
                    elif may_matter(entry.name):
                        try:
                            found = _candidate(entry, foreign)
                        except UnreadableError as exc:
                            fail(exc)
                    if found is not None and found not in given and not below(found, exclude):
                        given.add(found)
                        yield found
        except (FileNotFoundError, NotADirectoryError):
            continue  # It has just gone, or is a file that was named.
        except OSError as exc:
            fail(UnreadableError(directory, reason_of(exc)))
