# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""Another validator.db in the place of a client's: proved, while no client can open either, and safe to be cut off.

The fence is a lock on an inode, and a rename changes the inode below whoever has the old one. So the client's own lock
and both databases' are held from before the comparison until the old inode cannot be of use to anyone any more.

The steps, and what a kill after each leaves:
  1. proved          the old database; nothing has changed
  2. noted           the same; the note says which file was proved
  3. moved           the new database below the old transaction number and version: whoever starts is refused, or starts
                     on a history that was proved complete; the next run finds the note, and goes on here
  4. number, version the new database with its own; the note may still be there, and goes with the next run
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files import _boltdb
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    MIB,
    StakingError,
    UnreadableError,
    as_json,
    flocked,
    fsync_directory,
    is_directory,
    is_same,
    is_there,
    open_directory,
    open_regular,
    parse_json,
    read_file,
    reason_of,
    remove_if_there,
    replace_file,
    status,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _protection
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._compare import compare
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import (
    DATABASE,
    EXPECTED,
    LOCK,
    REPLACING,
    TRANSACTION,
    VERSION,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._history import Summary
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import (
    hold,
    lock_holder,
    make_client_lock,
)

#: Prysm waits one second for the lock of a database that it has opened, and then gives up.
SETTLE = 5.0
_SHOWN = 5
_NUMBER = re.compile(rb"(0|[1-9][0-9]{0,19})\n?\Z")
_TAG = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?\Z")


class ReplaceError(StakingError):
    """A database must not be put in the place of another."""


class Request(t.NamedTuple):
    """What to put where."""

    database: str
    replacement: str
    wants: tuple[str, ...]
    version: str
    layout: int
    #: What was in the place is lost; wants hold what is left of its history.
    lost: bool = False


class Outcome(t.NamedTuple):
    """What was done."""

    changed: bool
    transaction: int
    keys: int


def _step(_name: str) -> None:
    """Where a run may be cut off."""


def read_transaction(data_dir: str) -> int | None:
    """The highest transaction number that was ever seen in a data directory; None when none was noted yet."""
    path = os.path.join(data_dir, TRANSACTION)
    if not is_there(path):
        return None
    match = _NUMBER.match(read_file(path, 64))
    if match is None:
        raise UnreadableError(path, "is not a transaction number")
    return int(match.group(1))


@contextlib.contextmanager
def numbers_of(data_dir: str, seconds: float = 30) -> t.Iterator[int]:
    """Change the numbers beside a database, one process of this machine at a time; yields the open directory."""
    folder = open_directory(data_dir)
    try:
        try:
            free = flocked(folder, seconds)
        except OSError as exc:
            raise UnreadableError(data_dir, f"cannot be locked: {reason_of(exc)}") from exc
        if not free:
            raise UnreadableError(data_dir, f"cannot be locked: another process has it for {seconds:g} s")
        yield folder
    finally:
        os.close(folder)


def _write(folder: int, name: str, text: str) -> None:
    owner = os.fstat(folder)
    replace_file(folder, name, text.encode("ascii"), 0o600, owner.st_uid, owner.st_gid)


def _regular(path: str) -> os.stat_result | None:
    found = status(path, follow=False)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise UnreadableError(path, "is a link" if stat.S_ISLNK(found.st_mode) else "is not a regular file")
    return found


def _digest(path: str) -> str:
    fd = open_regular(path)
    try:
        whole = hashlib.sha256()
        while True:
            chunk = os.read(fd, MIB)
            if not chunk:
                return whole.hexdigest()
            whole.update(chunk)
    except OSError as exc:
        raise UnreadableError(path, reason_of(exc)) from exc
    finally:
        os.close(fd)


def _data_dir(database: str) -> str:
    data_dir, name = os.path.split(database)
    if name != DATABASE or not is_directory(data_dir):
        raise ReplaceError(f"{database} must be {DATABASE} in the data directory of a validator client")
    return data_dir


def _check(request: Request) -> str:
    data_dir = _data_dir(request.database)
    if not _TAG.match(request.version) or request.layout < 1:
        raise ReplaceError(f"{request.version!r:.40} must be a version such as v7.1.6, with a layout from 1 up")
    return data_dir


def _check_places(request: Request, data_dir: str) -> tuple[os.stat_result | None, os.stat_result]:
    old, new = _regular(request.database), _regular(request.replacement)
    if new is None:
        raise ReplaceError(f"{request.replacement} is not there")
    if old is not None and os.path.samestat(old, new):
        raise ReplaceError(f"{request.replacement} and {request.database} are one file")
    if new.st_nlink > 1:
        raise ReplaceError(f"{request.replacement} has another name as well: a client could use it from there")
    place = status(data_dir)
    if place is None or place.st_dev != new.st_dev:
        raise ReplaceError(
            f"{request.replacement} is on another file system than {data_dir}, so it cannot be renamed into it. Copy it"
            " into a directory beside the database first"
        )
    return old, new


def _check_old(request: Request, data_dir: str, old: os.stat_result | None) -> None:
    """What is in the place must be what was always there, or its loss must be known."""
    noted = read_transaction(data_dir)
    known_lost = request.lost and request.wants
    if old is None:
        if (noted is not None or is_there(os.path.join(data_dir, EXPECTED))) and not known_lost:
            raise ReplaceError(
                f"{request.database} is missing, but there was one: what it knew cannot be compared. Bring it back, or"
                " name its loss and what is left of its history"
            )
        return
    number = _boltdb.transaction(request.database)
    if noted is not None and number < noted and not known_lost:
        raise ReplaceError(
            f"{request.database} is an older copy (transaction {number}; {noted} was seen before), so it does not know"
            " all that was signed. Bring the newer one back first"
        )


def _prove(request: Request, old: os.stat_result | None) -> Summary:
    """The replacement lacks nothing; what it amounts to."""
    found = _protection.read_marks(request.replacement)
    if found.findings:
        raise ReplaceError(f"{request.replacement} contradicts itself: {'; '.join(found.findings[:_SHOWN])}")
    _check_layout(request.replacement, found, request.layout)
    for want in ([request.database] if old is not None else []) + list(request.wants):
        lacking = compare(request.replacement, want).lacking
        if lacking:
            words = [f"{key} {', '.join(reasons)}" for key, reasons in sorted(lacking.items())]
            more = f" (and {len(words) - _SHOWN} more keys)" if len(words) > _SHOWN else ""
            raise ReplaceError(f"{request.replacement} protects less than {want}: {'; '.join(words[:_SHOWN])}{more}")
    return found


def _check_layout(path: str, found: Summary, layout: int) -> None:
    if found.layout is not None and found.layout > layout:
        raise ReplaceError(
            f"{path} has layout {found.layout}, newer than {layout}: the older Prysm would not see all of its votes"
        )


def _take(stack: contextlib.ExitStack, path: str) -> None:
    if not stack.enter_context(hold(path)):
        holder = lock_holder(path) or "a process that has just ended"
        raise ReplaceError(f"{path} is locked by {holder}: a validator client runs or waits to run. Stop it first")


def _set_numbers(folder: int, transaction: int, version: str, layout: int) -> None:
    _write(folder, TRANSACTION, f"{transaction}\n")
    _step("number")
    _write(folder, VERSION, f"{layout} {version}\n")
    _step("version")


def _finish(database: str, data_dir: str, folder: int) -> bool:
    """End what a run that was cut off had begun; say whether there was anything to do."""
    path = os.path.join(data_dir, REPLACING)
    if not is_there(path):
        return False
    note = parse_json(read_file(path, MIB), path)
    fields = {"digest": str, "inode": int, "layout": int, "replacement": str, "version": str}
    if not isinstance(note, dict) or {name: type(value) for name, value in note.items()} != fields:
        raise UnreadableError(path, "is not the note of a replacement")
    now = _regular(database)
    moved = now is not None and now.st_ino == note["inode"] and _digest(database) == note["digest"]
    if moved:
        _take_out_of(note["replacement"], database)
        fsync_directory(folder)
        found = _protection.read_marks(database)
        _check_layout(database, found, note["layout"])
        _set_numbers(folder, t.cast(int, found.transaction), note["version"], note["layout"])
    # Not moved: the file that was proved is still where it was, and is proved again.
    remove_if_there(folder, REPLACING)
    fsync_directory(folder)
    return moved


def _take_out_of(replacement: str, database: str) -> None:
    """Remove the first name of a database that has its second one already."""
    if not is_same(replacement, database):
        return
    parent = open_directory(os.path.dirname(replacement))
    try:
        os.unlink(os.path.basename(replacement), dir_fd=parent)
        fsync_directory(parent)
    finally:
        os.close(parent)


def _move(request: Request, folder: int, old: os.stat_result | None) -> None:
    parent = open_directory(os.path.dirname(request.replacement))
    try:
        source, target = os.path.basename(request.replacement), DATABASE
        if old is None:
            # A rename would also replace what has come there meanwhile.
            os.link(source, target, src_dir_fd=parent, dst_dir_fd=folder, follow_symlinks=False)
            _step("linked")
            os.unlink(source, dir_fd=parent)
        else:
            os.rename(source, target, src_dir_fd=parent, dst_dir_fd=folder)
        _step("moved")
        fsync_directory(folder)
        fsync_directory(parent)
    finally:
        os.close(parent)


def _own(request: Request, folder: int) -> os.stat_result:
    """Give the replacement to the owner of the directory, and wait until the disk has all of it."""
    owner = os.fstat(folder)
    fd = open_regular(request.replacement)
    try:
        os.fchown(fd, owner.st_uid, owner.st_gid)
        os.fchmod(fd, 0o600)
        os.fsync(fd)
        # Whoever reads it next gets what the disk has.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.fstat(fd)
    finally:
        os.close(fd)


def replace(request: Request) -> Outcome:
    """Put the replacement in the place of the database."""
    data_dir = _check(request)
    try:
        with contextlib.ExitStack() as stack:
            _take(stack, make_client_lock(data_dir))
            _take(stack, request.database)
            folder = stack.enter_context(numbers_of(data_dir))
            finished = _finish(request.database, data_dir, folder)
            if not is_there(request.replacement):
                return _already(request, data_dir, finished)
            old, _new = _check_places(request, data_dir)
            _take(stack, request.replacement)
            _check_old(request, data_dir, old)
            proved = _prove(request, old)
            new = _own(request, folder)
            _step("proved")
            note = {
                "digest": _digest(request.replacement),
                "inode": new.st_ino,
                "layout": request.layout,
                "replacement": request.replacement,
                "version": request.version,
            }
            _write(folder, REPLACING, as_json(note).decode("ascii"))
            _step("noted")
            if old is not None:
                # Before the locks go: a client may have opened the old inode just now, and waits for its lock.
                stack.callback(lambda: time.sleep(SETTLE))
            _move(request, folder, old)
            now = _regular(request.database)
            if now is None or not os.path.samestat(now, new):
                raise ReplaceError(f"{request.database} is not the file that was put there: another process is at work")
            if _protection.read_marks(request.database) != proved:
                raise ReplaceError(f"{request.database} does not hold what was proved before")
            _step("read")
            _set_numbers(folder, t.cast(int, proved.transaction), request.version, request.layout)
            if not is_there(os.path.join(data_dir, EXPECTED)):
                _write(folder, EXPECTED, time.strftime("written %Y-%m-%dT%H:%M:%SZ\n", time.gmtime()))
            remove_if_there(folder, REPLACING)
            fsync_directory(folder)
            _step("done")
            return Outcome(True, t.cast(int, proved.transaction), len(proved.keys))
    except OSError as exc:
        raise UnreadableError(request.database, f"cannot be replaced: {reason_of(exc)}") from exc


def is_cut_off(database: str) -> bool:
    """Whether a replacement was begun, and not brought to its end."""
    return is_there(os.path.join(_data_dir(database), REPLACING))


def settle(database: str) -> bool:
    """End what a run that was cut off had begun, and put nothing else there; whether there was anything to end.

    Afterwards the database is the old one as it was, or the new one with its own number and version.
    """
    if not is_cut_off(database):
        return False
    data_dir = _data_dir(database)
    try:
        with contextlib.ExitStack() as stack:
            _take(stack, make_client_lock(data_dir))
            _take(stack, database)
            _finish(database, data_dir, stack.enter_context(numbers_of(data_dir)))
            return True
    except OSError as exc:
        raise UnreadableError(database, f"cannot be settled: {reason_of(exc)}") from exc


def _already(request: Request, data_dir: str, finished: bool) -> Outcome:
    """There is nothing to put there: only right when what is there is what was to be put there."""
    if _regular(request.database) is None:
        raise ReplaceError(f"neither {request.database} nor {request.replacement} is there")
    found = _protection.read_marks(request.database)
    number = t.cast(int, found.transaction)
    path = os.path.join(data_dir, VERSION)
    version = read_file(path, 128).decode("ascii", "replace").strip() if is_there(path) else ""
    wanted = f"{request.layout} {request.version}"
    noted = read_transaction(data_dir)
    if version != wanted or noted is None or number < noted:
        raise ReplaceError(
            f"{request.replacement} is not there, and {request.database} is not what it should have become: it is at"
            f" transaction {number} (noted: {noted}) and of version {version or 'unknown'} instead of {wanted}"
        )
    for want in request.wants:
        lacking = compare(request.database, want).lacking
        if lacking:
            key = min(lacking)
            raise ReplaceError(f"{request.database} protects less than {want}: {key} {', '.join(lacking[key])}")
    return Outcome(finished, number, len(found.keys))


def preview(request: Request) -> Outcome:
    """What replace would do, without locks of its own."""
    data_dir = _check(request)
    if not is_there(request.replacement):
        return _already(request, data_dir, False)
    old, _new = _check_places(request, data_dir)
    for path in (os.path.join(data_dir, LOCK), request.database, request.replacement):
        holder = lock_holder(path)
        if holder is not None:
            raise ReplaceError(f"{path} is locked by {holder}: a validator client runs or waits to run. Stop it first")
    _check_old(request, data_dir, old)
    found = _prove(request, old)
    return Outcome(True, t.cast(int, found.transaction), len(found.keys))
