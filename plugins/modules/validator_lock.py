#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_lock
short_description: Read who holds the locks of validator clients, and wait until they are free or held
version_added: 0.1.0
description:
  - Asks the kernel of the machine that stores the files, so that a holder on any NFS client is seen. Nothing is locked
    by asking.
  - A client has two locks, on C(validator.db) and on C(.validator-lock) beside it. The state of a path is that of both.
  - Names the holding client where the NFS server knows it, also one that holds a file of that name which was removed or
    renamed over.
  - While the NFS server of this machine is stopped, or in its grace period after a start, its clients have locks that
    it does not know. Until then the state is V(unknown).
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  paths:
    description: Databases, such as C(/data/prysm/validator1/validator.db).
    type: list
    elements: path
    default: []
  wait_free:
    description:
      - Whether to wait until none of O(paths) is held, and to fail when that does not happen. V(unknown) is not free.
    type: bool
    default: false
  wait_held:
    description:
      - Databases to wait for until their client holds them, from a certain machine and from no other; fails when that
        does not happen.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The database.
        type: path
        required: true
      address:
        description:
          - The addresses of the machine that may hold it, one or more. An empty list accepts any holder.
        type: list
        elements: str
        required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: See that no client has the database of validator1 any more
  eth2xk8s.staking.validator_lock:
    paths: [/data/prysm/validator1/validator.db]
    wait_free: true

- name: See that validator1 holds its database, from the node that its pod is on
  eth2xk8s.staking.validator_lock:
    wait_held:
      - path: /data/prysm/validator1/validator.db
        address: 172.20.10.12
"""

RETURN = r"""
locks:
  description:
    - For each path its state (V(missing), V(free), V(held), V(unknown)), the holder or the reason in words, the holding
      addresses, and the names of the files that are held.
  returned: success
  type: dict
  sample:
    /data/prysm/validator1/validator.db:
      state: held
      holder: another process or an NFS client
      addresses: [172.20.10.12]
      files: [.validator-lock, validator.db]
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    is_directory,
    is_there,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._data_dir import LOCK
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._locks import local_holder
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _nfsd


def _is_missing(path: str) -> bool:
    """Whether a path is not there, which only a directory that was read can prove."""
    if is_there(path):
        return False
    folder = os.path.dirname(path)
    while not is_directory(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        names = os.listdir(folder)
    except OSError as exc:
        raise UnreadableError(folder, reason_of(exc)) from exc
    return os.path.relpath(path, folder).split(os.sep)[0] not in names


def look(path: str) -> dict[str, t.Any]:
    """The state of a client's locks."""
    found: dict[str, t.Any] = {"state": "free", "holder": "", "addresses": [], "files": []}
    hidden = _nfsd.blind()
    missing = _is_missing(path)
    addresses: set[str] = set()
    for one in (os.path.join(os.path.dirname(path), LOCK), path):
        holder = None if _is_missing(one) else local_holder(one)
        holds = _nfsd.holds(one)
        locked = [hold for hold in holds if hold.kind == "lock"]
        if holder is None and locked:
            which = "that was removed or renamed over" if all(hold.replaced for hold in locked) else "itself"
            holder = f"an NFS client, on the file {which}"
        if holder is not None:
            found.update(state="held", holder=found["holder"] or holder)
            found["files"].append(os.path.basename(one))
            addresses.update(hold.address for hold in locked)
        elif holds:
            # Locks then live in that client alone.
            hidden = hidden or f"{holds[0].address} has a delegation on {one}"
    # Once more: a server that restarted meanwhile has forgotten what was just looked for.
    hidden = hidden or _nfsd.blind()
    if found["state"] != "held" and hidden is not None:
        found.update(state="unknown", holder=hidden)
    elif found["state"] != "held" and missing:
        found["state"] = "missing"
    return dict(found, addresses=sorted(addresses))


def in_words(path: str, lock: dict[str, t.Any]) -> str:
    """One lock in a message."""
    if lock["state"] == "held":
        return f"{path} is held by {', '.join(lock['addresses']) or lock['holder']}"
    return f"{path} is {lock['state']}" + (f": {lock['holder']}" if lock["holder"] else "")


def unmet(params: dict[str, t.Any], locks: dict[str, dict[str, t.Any]]) -> list[str]:
    """What is still waited for, in words."""
    found = []
    if params["wait_free"]:
        found += [
            in_words(path, locks[path]) for path in params["paths"] if locks[path]["state"] in ("held", "unknown")
        ]
    for item in params["wait_held"]:
        lock, wanted = locks[item["path"]], {_nfsd.canonical(one) for one in item["address"]}
        holding = {_nfsd.canonical(one) for one in lock["addresses"]}
        if lock["state"] != "held" or (wanted and not (holding and holding <= wanted)):
            found.append(
                in_words(item["path"], lock) + f" instead of held by {', '.join(sorted(wanted)) or 'a client'}"
            )
    return found


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": []},
            "wait_free": {"type": "bool", "default": False},
            "wait_held": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "address": {"type": "list", "elements": "str", "required": True},
                },
            },
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    try:
        while True:
            locks = {path: look(path) for path in [*params["paths"], *(one["path"] for one in params["wait_held"])]}
            left = unmet(params, locks)
            if not left:
                module.exit_json(changed=False, locks=locks)
            if time.monotonic() >= deadline:
                module.fail_json(msg=f"After {params['timeout']} s: {'; '.join(sorted(left))}", locks=locks)
            time.sleep(0.5)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=f"A lock cannot be read, so it counts as held: {exc}")


if __name__ == "__main__":
    main()
