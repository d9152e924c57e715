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
  - Reads the state of the running NFS server, not its configuration files, because the running server is what keeps two
    validators from opening one database.
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
  description: How long a silent client keeps its locks.
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
  description: Exports, in force or configured, that give O(path) to somebody who is not in O(clients).
  returned: always
  type: list
  elements: dict
  sample: []
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

import glob
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils import _nfsd
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import is_directory, is_there

NFSD = "proc/fs/nfsd"


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
        self.problems: t.List[str] = []

    def text(self, path: str, required: bool = True) -> str:
        """The text of a file; its absence is a problem where it is required."""
        try:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as handle:
                return handle.read()
        except OSError as exc:
            if required:
                self.problems.append("/{0} cannot be read: {1}".format(path, exc.strerror))
            return ""

    def number(self, path: str) -> int:
        """The number in a file, 0 when there is none."""
        text = self.text(path).strip()
        return int(text) if text.isdigit() else 0


def clients(reader: Reader) -> t.List[t.Dict[str, t.Any]]:
    """Every client the server knows, with its states. A client may leave while it is read."""
    found = []
    for folder in sorted(glob.glob(os.path.join(reader.root, NFSD, "clients", "*"))):
        name = os.path.relpath(folder, reader.root)
        info = _nfsd.parse_info(reader.text(name + "/info", required=False))
        if not info:
            if is_directory(folder):
                reader.problems.append("/{0}/info cannot be read".format(name))
            continue
        states = _nfsd.parse_states(reader.text(name + "/states", required=is_directory(folder)))
        found.append(
            {
                "id": os.path.basename(folder),
                "address": _nfsd.host_of(info.get("address", "")),
                "name": info.get("name", ""),
                "status": info.get("status", ""),
                "states": states,
            }
        )
    return found


def report(reader: Reader, path: t.Optional[str], allowed: t.Sequence[str]) -> t.Dict[str, t.Any]:
    """Everything the server says about itself."""
    running = is_there(os.path.join(reader.root, NFSD, "threads")) and reader.number(NFSD + "/threads") > 0
    result: t.Dict[str, t.Any] = {
        "running": running,
        "versions": _nfsd.parse_versions(reader.text(NFSD + "/versions")) if running else [],
        "threads": reader.number(NFSD + "/threads") if running else 0,
        "lease_seconds": reader.number(NFSD + "/nfsv4leasetime") if running else 0,
        "grace_seconds": reader.number(NFSD + "/nfsv4gracetime") if running else 0,
        "delegations": reader.text("proc/sys/fs/leases-enable").strip() != "0",
        "exports": _nfsd.parse_exports(reader.text("var/lib/nfs/etab", required=running)),
        "clients": clients(reader) if running else [],
        "free_bytes": free(path) if path else 0,
    }
    configured = []
    names = ["etc/exports"]
    names += [
        os.path.relpath(name, reader.root)
        for name in sorted(glob.glob(os.path.join(reader.root, "etc/exports.d", "*.exports")))
    ]
    for name in names:
        for item in _nfsd.parse_exports(reader.text(name, required=False)):
            configured.append(dict(item, file="/" + name))
    in_force = [dict(item, file="/var/lib/nfs/etab") for item in result["exports"]]
    result["strangers"] = _nfsd.strangers(configured + in_force, path, allowed) if path else []
    if result["delegations"]:
        reader.problems.append("fs.leases-enable is not 0: clients may hold locks the server does not know of")
    for client in result["clients"]:
        for state in client["states"]:
            if state["type"] == "deleg":
                reader.problems.append(
                    "{0} holds a delegation on {1}".format(client["address"], state.get("filename", "an unknown file"))
                )
    result["problems"] = reader.problems
    return result


def main() -> None:
    """Read the parameters, read the server, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "clients": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = report(Reader(), module.params["path"], module.params["clients"])
    except _nfsd.NfsdError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
