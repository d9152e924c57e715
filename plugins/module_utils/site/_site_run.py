# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The run lock of a site: the record, on the machine that holds the data, of who runs which playbook."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    as_json,
    flocked,
    fsync_directory,
    open_directory,
    parse_json,
    read_file,
    remove_if_there,
    replace_file,
    status,
    write_new,
)

Run = t.Dict[str, t.Any]

PATH = "/var/lib/eth2xk8s/run.json"
#: What a record has, and of which type.
_FIELDS: dict[str, type] = {
    "id": str,
    "playbook": str,
    "command": str,
    "user": str,
    "controller": str,
    "machine": str,
    "cards": list,
    "boot": str,
    "namespace": str,
    "pid": int,
    "started": str,
    "since": str,
}
_LIMIT = 64 * 1024


def _parse(data: bytes, path: str) -> Run:
    found = parse_json(data, path)
    wrong = [
        name
        for name, kind in _FIELDS.items()
        if not isinstance(found, dict) or not isinstance(found.get(name), kind) or isinstance(found.get(name), bool)
    ]
    if wrong:
        raise UnreadableError(path, f"is not the record of a run (it lacks {', '.join(wrong)})")
    return t.cast(Run, found)


def read_run(path: str, dir_fd: int | None = None) -> Run | None:
    """The run that has the lock; None when no run has it."""
    name = path if dir_fd is None else os.path.basename(path)
    if status(name, follow=False, dir_fd=dir_fd, what=path) is None:
        return None
    return _parse(read_file(name, _LIMIT, dir_fd, path), path)


@contextlib.contextmanager
def _directory(path: str, seconds: float = 30) -> t.Iterator[int]:
    """The lock's directory, with nobody else in it."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    fd = open_directory(folder)
    try:
        if not flocked(fd, seconds):
            raise StakingError(f"{folder} is locked by another process for {seconds:g} s; run this again")
        yield fd
    finally:
        os.close(fd)


def take(path: str, run: Run, over: str = "") -> Run | None:
    """Take the lock, also over one run that is named; who has it when that fails, None when it is ours."""
    data = as_json(run)
    _parse(data, path)
    with _directory(path) as folder:
        holder = read_run(path, folder)
        if holder is not None and holder["id"] == run["id"]:
            return None
        if holder is not None and holder["id"] != over:
            return holder
        name = os.path.basename(path)
        if holder is not None:
            replace_file(folder, name, data)
        else:
            # Whole and new, or not at all, also for a program that does not know of the directory's lock.
            temporary = f".{name}.{run['id']}"
            remove_if_there(folder, temporary)
            write_new(folder, temporary, data, 0o600, -1, -1)
            try:
                os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                remove_if_there(folder, temporary)
            fsync_directory(folder)
        held = read_run(path, folder)
    if held != run:
        raise StakingError(f"{path} was written, but is not as written")
    return None


def release(path: str, ours: str) -> Run | None:
    """Give the lock back if it is ours; else who has it, and nothing when no run has."""
    if status(os.path.dirname(path)) is None:
        return None
    with _directory(path) as folder:
        holder = read_run(path, folder)
        if holder is None or holder["id"] != ours:
            return holder
        remove_if_there(folder, os.path.basename(path))
        fsync_directory(folder)
    return None


def lost(path: str, holder: Run | None, host: str = "") -> str:
    """In words: a run does not have the lock that it took."""
    place = f"{path} on {host}" if host else path
    if not holder:
        return (
            f"This run does not have the run lock any more: {place} was removed. Find out by whom before this is run "
            "again."
        )
    return (
        f"This run does not have the run lock any more: {holder['user']} on {holder['controller']} took it over "
        f"with `{holder['command']}` at {holder['since']}."
    )


def demand(path: str, ours: str) -> None:
    """Refuse to go on where the lock is not this run's any more (StakingError)."""
    holder = read_run(path)
    if holder is None or holder["id"] != ours:
        raise StakingError(lost(path, holder))
