#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_process_info
short_description: Say which processes of this machine may sign with validator keys
version_added: 0.1.0
description:
  - Looks at every process of the machine, those of containers included, and names the ones that may sign - validator
    clients, remote signers, parts of distributed validators, and beacon nodes that were given keys, whatever their
    path, version, interpreter or shell, and whatever the name of the executable when they were given a wallet.
  - A process that cannot be read, while it is still there, counts as one.
  - Never changes anything.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  names:
    description: Names of further programs that sign.
    type: list
    elements: str
    default: [validator]
"""

EXAMPLES = r"""
- name: Look for signing processes
  eth2xk8s.staking.signing_process_info:
  register: signers
"""

RETURN = r"""
processes:
  description: Processes that may sign.
  returned: always
  type: list
  elements: dict
  contains:
    pid:
      description: Its number.
      type: int
    reason:
      description: Why it counts.
      type: str
    client:
      description: The program; empty when the process cannot be read.
      type: str
    ending:
      description:
        - Whether it was killed and waits in the kernel, for a server that does not answer for one. None of its own code
          runs any more.
      type: bool
    volumes:
      description:
        - What it has mounted of NFS servers (SERVER:PATH) and, in a container, of directories of this machine (PATH);
          and the validator.db files that it has open, in the same form.
      type: list
      elements: str
  sample:
    - pid: 4711
      reason: it is Prysm
      client: Prysm
      ending: false
      volumes: ["172.20.10.10:/data/prysm/validator1", "172.20.10.10:/data/prysm/validator1/validator.db"]
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import is_directory
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import DATABASE
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._clients import (
    KEYS,
    Surroundings,
    Verdict,
    values,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._command_lines import process

_LIMIT = 1 << 20
#: File systems without a disk behind them.
_NO_DISK = frozenset(
    """overlay proc sysfs tmpfs devtmpfs devpts mqueue cgroup cgroup2 securityfs debugfs tracefs configfs bpf pstore
    hugetlbfs fusectl binfmt_misc rpc_pipefs nsfs autofs ramfs squashfs efivarfs""".split()  # noqa: SIM905
)
#: What every container has of its machine.
_USUAL = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log")


#: proc(5): SIGKILL in the masks of pending signals, and PF_EXITING (include/linux/sched.h) in the ninth field of stat.
_KILLED = 1 << 8
_EXITING = 0x4


class _Mount(t.NamedTuple):
    device: str
    root: str
    point: str
    kind: str
    source: str


def _octal(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def _read(path: str, limit: int = _LIMIT) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(limit)


def mounts(folder: str) -> list[_Mount]:
    """What a process sees mounted."""
    found = []
    for line in _read(os.path.join(folder, "mountinfo"), 64 * _LIMIT).decode("utf-8", "surrogateescape").splitlines():
        left, _unused, right = line.partition(" - ")
        fields, others = left.split(" "), right.split(" ")
        if len(fields) >= 5 and len(others) >= 2:
            found.append(_Mount(fields[2], _octal(fields[3]), _octal(fields[4]), others[0], _octal(others[1])))
    return found


def _joined(path: str, rest: str) -> str:
    return os.path.normpath(os.path.join(path, rest.lstrip("/"))) if rest.strip("/") else path


def _source(mount: _Mount, host: t.Sequence[_Mount]) -> str:
    """Where a mount really lies: on an NFS server, or in a directory of this machine; empty when it is neither."""
    if mount.kind.startswith("nfs"):
        return mount.source
    if mount.kind in _NO_DISK or mount.point in _USUAL:
        return ""
    # The same file system, mounted where this module can see it, from a directory above.
    above = [
        one for one in host if one.device == mount.device and (mount.root + "/").startswith(one.root.rstrip("/") + "/")
    ]
    best = max(above, key=lambda one: len(one.root), default=None)
    return _joined(best.point, mount.root[len(best.root.rstrip("/")) :]) if best else ""


def volumes(folder: str, host: t.Sequence[_Mount]) -> list[str]:
    """Sources of a process's mounts, and the databases it has open."""
    seen = mounts(folder)
    contained = seen != list(host)
    found = {
        _source(mount, host)
        for mount in seen
        # Of what is mounted for the machine itself, only what comes from a server says something.
        if mount.kind.startswith("nfs") or (contained and mount not in host)
    }
    for name in os.listdir(os.path.join(folder, "fd")):
        try:
            path = os.readlink(os.path.join(folder, "fd", name))
        except OSError:
            continue  # Closed since.
        path = path[: -len(" (deleted)")] if path.endswith(" (deleted)") else path
        if os.path.basename(path) == DATABASE:
            over = [one for one in seen if (path + "/").startswith(one.point.rstrip("/") + "/")]
            mount = max(over, key=lambda one: len(one.point), default=None)
            base = _source(mount, host) if mount else ""
            found.add(_joined(base, path[len(mount.point.rstrip("/")) :]) if mount and base else path)
    return sorted(found - {""})


def _thread_is_ending(folder: str) -> bool:
    lines = _read(os.path.join(folder, "status")).decode("utf-8", "replace").splitlines()
    status = {name: value.strip() for name, _unused, value in (line.partition(":") for line in lines)}
    if status["State"][:1] in ("Z", "X"):
        return True
    if any(int(status[name], 16) & _KILLED for name in ("SigPnd", "ShdPnd")):
        return True
    # The second field is the program's name in brackets, and may have anything in it.
    fields = _read(os.path.join(folder, "stat")).rpartition(b")")[2].split()
    return bool(int(fields[6]) & _EXITING)


def is_ending(folder: str) -> bool:
    """Whether no thread of a process comes back from the kernel: each was killed, or ends already."""
    tasks = os.path.join(folder, "task")
    try:
        names = os.listdir(tasks)
    except OSError:
        return False
    for name in names:
        try:
            if not _thread_is_ending(os.path.join(tasks, name)):
                return False
        except (FileNotFoundError, ProcessLookupError):
            continue  # Gone.
        except (OSError, KeyError, IndexError, ValueError):
            return False
    return True


def _around(folder: str) -> Surroundings:
    """Variables and files of a process; only their names and what they set matter."""
    env = {}
    for item in _read(os.path.join(folder, "environ")).decode("utf-8", "replace").split("\0"):
        name, _unused, value = item.partition("=")
        env[name] = value

    def read(path: str) -> str | None:
        base = os.path.join(folder, "root") if path.startswith("/") else os.path.join(folder, "cwd")
        try:
            return _read(os.path.join(base, path.lstrip("/"))).decode("utf-8", "replace")
        except OSError:
            return None

    return Surroundings(env, list(env), read)


def _keys_of_nimbus(folder: str, words: t.Sequence[str]) -> str:
    """The directory of a Nimbus beacon node's own that has keys: it signs with these without being told of any."""
    env = _around(folder).env
    home = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME") or "/root", ".cache")
    data = (values(words, "datadir") or [os.path.join(home, "nimbus/BeaconNode")])[-1]
    places = {os.path.join(data, "validators")}
    # A configuration file may name another one; it has its own history open there.
    for name in os.listdir(os.path.join(folder, "fd")):
        try:
            path = os.readlink(os.path.join(folder, "fd", name))
        except OSError:
            continue  # Closed since.
        if os.path.basename(path).startswith("slashing_protection.sqlite3"):
            places.add(os.path.dirname(path))
    for place in sorted(places):
        base = os.path.join(folder, "root") if place.startswith("/") else os.path.join(folder, "cwd")
        try:
            names = os.listdir(os.path.join(base, place.lstrip("/")))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if any(name.startswith("0x") for name in names):
            return place
    return ""


def verdict(folder: str, names: t.Sequence[str]) -> Verdict | None:
    """What a process is; OSError when it cannot be read."""
    comm = _read(os.path.join(folder, "comm")).decode("utf-8", "replace").strip()
    words = _read(os.path.join(folder, "cmdline")).decode("utf-8", "replace").rstrip("\0").split("\0")
    try:
        executable = os.readlink(os.path.join(folder, "exe"))
    except OSError:
        executable = ""  # A thread of the kernel; or one whose words have to do.
    executable = executable[: -len(" (deleted)")] if executable.endswith(" (deleted)") else executable
    words = [] if words == [""] else words
    also = {*names, *(name[:15] for name in names)}
    bare = Surroundings({}, (), lambda path: None)
    found = process(words, [executable, comm], bare, also)
    if found is not None and found.client.role == KEYS:
        found = process(words, [executable, comm], _around(folder), also)
        if found is not None and found.client.name == "Nimbus" and not found.signs:
            place = _keys_of_nimbus(folder, words)
            if place:
                found = found._replace(signs=True, why=f"it is Nimbus and has keys in {place}")
    return found


def signers(proc: str, names: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Every process below proc that may sign."""
    found = []
    host: list[_Mount] | None = None
    for entry in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        folder = os.path.join(proc, entry)
        try:
            seen = verdict(folder, names)
        except (FileNotFoundError, ProcessLookupError):
            continue  # Gone.
        except OSError as exc:
            if is_directory(folder):
                reason = f"it cannot be read: {exc.strerror}"
                found.append({"pid": int(entry), "reason": reason, "client": "", "ending": False, "volumes": []})
            continue
        if seen is None or not seen.signs:
            continue
        ending = is_ending(folder)
        item = {"pid": int(entry), "reason": seen.why, "client": seen.client.name, "ending": ending, "volumes": []}
        try:
            host = mounts(os.path.join(proc, "self")) if host is None else host
            item["volumes"] = volumes(folder, host)
        except OSError as exc:
            if not is_directory(folder):
                continue
            item["reason"] = f"{seen.why}; its mounts cannot be read: {exc.strerror}"
        found.append(item)
    return found


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "default": ["validator"]}},
        supports_check_mode=True,
    )
    try:
        found = signers("/proc", module.params["names"])
    except OSError as exc:
        module.fail_json(msg=f"the processes of this machine cannot be read: {exc}")
    module.exit_json(changed=False, processes=found)


if __name__ == "__main__":
    main()
