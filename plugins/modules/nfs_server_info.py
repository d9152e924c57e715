#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_server_info
short_description: Say what the kernel's NFS server serves, to whom, and who holds which lock
version_added: 0.1.0
description:
  - Reads the state of the running NFS server, because the running server is what keeps two validators from opening one
    database. Its configuration files are read for what they would hand out, and for values that win over ours.
  - Directories are compared by what they are, behind links, bind mounts, C(..) and C(//), not by their names.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  path:
    description: Directory whose exports are judged.
    type: path
  clients:
    description: Addresses that may be given O(path).
    type: list
    elements: str
    default: []
  directories:
    description: Directories below O(path) that clients shall see as the server does.
    type: list
    elements: path
    default: []
  settings:
    description: Values that O(settings_file) gives to the server, in the section C(nfsd).
    type: dict
    default: {}
  settings_file:
    description: The file that holds O(settings), written or not.
    type: path
    default: /etc/nfs.conf.d/zz-eth2xk8s.conf
"""

EXAMPLES = r"""
- name: Read the NFS server
  eth2xk8s.staking.nfs_server_info:
    path: /data/prysm
    clients: [172.20.10.11, 172.20.10.12]
  register: nfs
"""

RETURN = r"""
running:
  description: Whether the server serves.
  returned: always
  type: bool
  sample: true
versions:
  description: Versions of NFS that are served.
  returned: always
  type: list
  elements: str
  sample: ["4", "4.1", "4.2"]
threads:
  description: Number of server threads.
  returned: always
  type: int
  sample: 8
lease_seconds:
  description: How long a client that no longer answers keeps its locks.
  returned: always
  type: int
  sample: 15
grace_seconds:
  description: How long after a start only old locks can be taken back.
  returned: always
  type: int
  sample: 15
delegations:
  description: Whether the kernel may hand out delegations. They break the fence between two signers.
  returned: always
  type: bool
  sample: false
exports:
  description: Exports in force, each with path, client and options.
  returned: always
  type: list
  elements: dict
  sample: []
strangers:
  description: >-
    Exports, in force or configured, that give O(path), anything above it or anything below it to a machine that is not
    in O(clients); each with path, client, options, the file, and the client in words (who).
  returned: always
  type: list
  elements: dict
  sample: []
rivals:
  description: Exports of O(path) itself to machines in O(clients) by other files than the server's own table.
  returned: always
  type: list
  elements: dict
  sample: []
roots:
  description: >-
    Exports, in force or configured, of another directory as the root of NFSv4 (C(fsid=0)) to machines in O(clients),
    which would look for O(path) below it.
  returned: always
  type: list
  elements: dict
  sample: []
real_path:
  description: Where O(path) leads, behind links; empty without one.
  returned: always
  type: str
  sample: /data/prysm
unseen:
  description: Those of O(directories) that lead elsewhere or lie on a mount of their own, a sentence each.
  returned: always
  type: list
  elements: str
  sample: []
overrides:
  description: Values of other files that win over O(settings) and differ, each with file, key and value.
  returned: always
  type: list
  elements: dict
  sample: [{"file": "/etc/nfs.conf.d/zzz.conf", "key": "threads", "value": "16"}]
time:
  description: The machine's clock, in seconds since 1970.
  returned: always
  type: int
  sample: 1795905240
free_bytes:
  description: Free space at O(path), or where it will be; 0 without one.
  returned: always
  type: int
  sample: 100000000000
clients:
  description: Clients that the server knows, each with address, name, status and its states (type, filename, access).
  returned: always
  type: list
  elements: dict
  sample: []
problems:
  description: What could not be read, or would let two clients hold one lock.
  returned: always
  type: list
  elements: str
  sample: []
"""

import errno
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    is_directory,
    is_there,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd

NFSD = "proc/fs/nfsd"
ETAB = "var/lib/nfs/etab"
MOUNTS = "/proc/self/mountinfo"
#: Unit files of administrators and generators; those of packages start the server without settings.
UNITS = ("etc/systemd/system", "run/systemd/system")
UNIT_NAMES = ("nfs-server.service", "nfs-kernel-server.service")

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "path": {"type": "path"},
    "clients": {"type": "list", "elements": "str", "default": []},
    "directories": {"type": "list", "elements": "path", "default": []},
    "settings": {"type": "dict", "default": {}},
    "settings_file": {"type": "path", "default": "/etc/nfs.conf.d/zz-eth2xk8s.conf"},
}


def free(path: str) -> int:
    """Bytes that are free at a path, or at what will be above it."""
    while not is_there(path):
        path = os.path.dirname(path.rstrip("/")) or "/"
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


class Reader:
    """Reads below a root, and remembers what could not be read."""

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.problems: list[str] = []

    def text(self, path: str, required: bool = True) -> str:
        """The text of a file; its absence is a problem where it is required, an error always."""
        try:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as handle:
                return handle.read()
        except OSError as exc:
            if required or exc.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO):
                self.problems.append(f"/{path} cannot be read: {reason_of(exc)}")
            return ""

    def names(self, path: str) -> list[str]:
        """The names in a directory; none where it is not there."""
        try:
            return sorted(os.listdir(os.path.join(self.root, path)))
        except OSError as exc:
            if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
                self.problems.append(f"/{path} cannot be read: {reason_of(exc)}")
            return []

    def number(self, path: str) -> int:
        """The number in a file, 0 when there is none."""
        text = self.text(path).strip()
        return int(text) if text.isdigit() else 0


def clients(reader: Reader) -> list[dict[str, t.Any]]:
    """Every client the server knows, with its states. A client may leave while it is read."""
    found = []
    for number in reader.names(NFSD + "/clients"):
        name = f"{NFSD}/clients/{number}"
        folder = os.path.join(reader.root, name)
        info = _nfsd.parse_info(reader.text(name + "/info", required=False))
        if not info:
            if is_directory(folder):
                reader.problems.append(f"/{name}/info cannot be read")
            continue
        states = _nfsd.parse_states(reader.text(name + "/states", required=is_directory(folder)))
        found.append(
            {
                "id": number,
                "address": _nfsd.host_of(info.get("address", "")),
                "name": info.get("name", ""),
                "status": info.get("status", ""),
                "states": states,
            }
        )
    return found


def settings(reader: Reader, ours: str) -> list[_nfsd.Setting]:
    """What every file says about the server, in the order in which they are read; the last word counts.

    Our file has its place among them whether it is written or not.
    """
    found: list[_nfsd.Setting] = []
    names = ["usr/etc/nfs.conf", "etc/nfs.conf"]
    there = {*reader.names("etc/nfs.conf.d"), os.path.basename(ours)}
    names += ["etc/nfs.conf.d/" + name for name in _nfsd.conf_order(there)]
    for name in names:
        if "/" + name == ours:
            found.append(_nfsd.Setting(ours, "", ""))
        for item in _nfsd.parse_conf(reader.text(name, required=False), "/" + name):
            if item.key != "include":
                found.append(item)
                continue
            other = os.path.join("/etc", item.value.lstrip("-"))
            found += [
                part
                for part in _nfsd.parse_conf(reader.text(other[1:], required=False), other)
                if part.key != "include"
            ]
    for folder in UNITS:
        for unit in UNIT_NAMES:
            files = [f"{folder}/{unit}"]
            files += [f"{folder}/{unit}.d/{name}" for name in reader.names(files[0] + ".d")]
            for name in files:
                if name.endswith((".service", ".conf")):
                    found += _nfsd.parse_unit(reader.text(name, required=False), "/" + name)
    return found


def exports(reader: Reader) -> list[dict[str, t.Any]]:
    """Every export that a file asks for, or that is in force, with its file and its client in words."""
    names = ["etc/exports"]
    for name in reader.names("etc/exports.d"):
        if name.endswith(".exports") and not name.startswith("."):
            names.append("etc/exports.d/" + name)
    found = []
    for name in [*names, ETAB]:
        for item in _nfsd.parse_exports(reader.text(name, required=False)):
            found.append(dict(item, file="/" + name, who=_nfsd.who(item["client"])))
    return found


def server(reader: Reader) -> dict[str, t.Any]:
    """What the running server serves, and to whom."""
    running = is_there(os.path.join(reader.root, NFSD, "threads")) and reader.number(NFSD + "/threads") > 0
    return {
        "running": running,
        "versions": _nfsd.parse_versions(reader.text(NFSD + "/versions")) if running else [],
        "threads": reader.number(NFSD + "/threads") if running else 0,
        "lease_seconds": reader.number(NFSD + "/nfsv4leasetime") if running else 0,
        "grace_seconds": reader.number(NFSD + "/nfsv4gracetime") if running else 0,
        "delegations": reader.text("proc/sys/fs/leases-enable").strip() != "0",
        "exports": _nfsd.parse_exports(reader.text(ETAB, required=running)),
        "clients": clients(reader) if running else [],
    }


def delegated(seen: t.Mapping[str, t.Any]) -> list[str]:
    """Why clients of a server may hold locks that it does not know of."""
    found = []
    if seen["delegations"]:
        found.append("fs.leases-enable is not 0: clients may hold locks the server does not know of")
    for client in seen["clients"]:
        for state in client["states"]:
            if state["type"] == "deleg":
                found.append(
                    "{} holds a delegation on {}".format(client["address"], state.get("filename", "an unknown file"))
                )
    return found


def judge(reader: Reader, path: str | None, allowed: t.Sequence[str], directories: t.Sequence[str]) -> dict[str, t.Any]:
    """Who is given a directory that should not be, or by which other way, and how clients see what lies in it."""
    if not path:
        return {"strangers": [], "rivals": [], "roots": [], "real_path": "", "unseen": []}
    # Our root may be another one; the mounts are those that this process sees.
    tree = _nfsd.Tree(reader.root, _nfsd.parse_mounts(Reader("/").text(MOUNTS[1:])))
    every = exports(reader)
    return {
        "strangers": _nfsd.strangers(every, path, allowed, tree),
        "roots": _nfsd.roots(every, allowed),
        "rivals": [
            item
            for item in every
            if item["file"] != "/" + ETAB
            and _nfsd.is_client(item["client"], allowed)
            and tree.real(item["path"]) == tree.real(path)
        ],
        "real_path": "/" + os.path.relpath(tree.real(path), os.path.realpath(reader.root)),
        "unseen": _nfsd.unseen(directories, path, tree),
    }


def overrides(reader: Reader, wanted: t.Mapping[str, t.Any], file: str) -> list[dict[str, t.Any]]:
    """Values of other files that win over those wanted."""
    expected = {str(key).lower(): str(value) for key, value in wanted.items()}
    return [item._asdict() for item in _nfsd.overrides(settings(reader, file), expected, file)]


def report(
    reader: Reader,
    path: str | None,
    allowed: t.Sequence[str],
    wanted: t.Mapping[str, t.Any] | None = None,
    file: str = "",
    directories: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """Everything the server says about itself."""
    seen = server(reader)
    result = {
        **seen,
        "free_bytes": free(path) if path else 0,
        **judge(reader, path, allowed, directories),
        "overrides": overrides(reader, wanted, file) if wanted else [],
    }
    return {**result, "problems": [*reader.problems, *delegated(seen)]}


def main() -> None:
    """Read the parameters, read the server, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = report(
            Reader(),
            module.params["path"],
            module.params["clients"],
            module.params["settings"],
            module.params["settings_file"],
            module.params["directories"],
        )
    except (_nfsd.NfsdError, StakingError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, time=int(time.time()), **result)


if __name__ == "__main__":
    main()
