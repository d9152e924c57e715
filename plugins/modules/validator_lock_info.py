#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_lock_info
short_description: Say who holds the lock on a database, asked where the file lives
version_added: 0.1.0
description:
  - Asks the kernel of the machine that stores the file, so that a holder on any NFS client is seen. Nothing is locked
    by asking.
  - Names the holding client where the NFS server knows it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  paths:
    description: Databases, such as C(/data/prysm/validator1/validator.db).
    type: list
    elements: path
    required: true
  wait_free:
    description: Whether to wait until nobody holds any of them, and to fail when that does not happen.
    type: bool
    default: false
  timeout:
    description: Seconds to wait.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: See that nobody holds the database of validator1 any more
  eth2xk8s.staking.validator_lock_info:
    paths: [/data/prysm/validator1/validator.db]
    wait_free: true
"""

RETURN = r"""
locks:
  description: For each path its state (V(missing), V(free), V(held)), the holder in words, and the holding addresses.
  returned: success
  type: dict
  sample:
    /data/prysm/validator1/validator.db:
      state: held
      holder: another process or an NFS client
      addresses: [172.20.10.12]
"""

import glob
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError, is_directory, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils._locks import lock_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils._nfsd import (
    NfsdError,
    host_of,
    parse_info,
    parse_states,
)

NFSD_CLIENTS = "/proc/fs/nfsd/clients"


def _text(path: str) -> str:
    """A file of the NFS server; empty when its client has just left."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def addresses(path: str, root: str = NFSD_CLIENTS) -> list[str]:
    """The NFS clients that hold a lock on this very file (device and inode, not name)."""
    status = os.stat(path)
    superblock = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found = set()
    for folder in glob.glob(os.path.join(root, "*")):
        for state in parse_states(_text(os.path.join(folder, "states"))):
            if state["type"] == "lock" and state.get("superblock") == superblock:
                found.add(host_of(parse_info(_text(os.path.join(folder, "info"))).get("address", "unknown")))
    return sorted(found)


def look(path: str) -> dict[str, t.Any]:
    """The state of one lock."""
    if not is_there(path):
        # An unreadable directory would look the same: only a directory that was read proves absence.
        folder = os.path.dirname(path)
        if is_directory(folder):
            os.listdir(folder)
        return {"state": "missing", "holder": "", "addresses": []}
    holder = lock_holder(path)
    if holder is None:
        return {"state": "free", "holder": "", "addresses": []}
    return {"state": "held", "holder": holder, "addresses": addresses(path)}


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "required": True},
            "wait_free": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    deadline = time.monotonic() + module.params["timeout"]
    try:
        while True:
            locks = {path: look(path) for path in module.params["paths"]}
            held = sorted(path for path, lock in locks.items() if lock["state"] == "held")
            if not held or not module.params["wait_free"]:
                module.exit_json(changed=False, locks=locks)
            if time.monotonic() >= deadline:
                words = "; ".join(
                    f"{path} by {', '.join(locks[path]['addresses']) or locks[path]['holder']}" for path in held
                )
                module.fail_json(msg=f"Still locked after {module.params['timeout']} s: {words}", locks=locks)
            time.sleep(0.5)
    except (StakingError, NfsdError, OSError) as exc:
        module.fail_json(msg=f"A lock cannot be read, so it counts as held: {exc}")


if __name__ == "__main__":
    main()
