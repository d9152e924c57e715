#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_client_expire
short_description: Have the NFS server forget a client that holds the lock of one file and no other
version_added: 0.1.0
description:
  - For the probe of the fence. Whatever the client still writes to the file is refused from then on, and the lock is
    free for another.
  - A client that holds another lock as well is refused, because it would lose that, too. A beacon node or a validator
    client of its node would end.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  path:
    description: The file, on the machine that serves it.
    type: path
    required: true
  addresses:
    description: Addresses of the node whose client it is.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Have the server forget who holds the lock of the probe
  eth2xk8s.staking.nfs_client_expire:
    path: /data/prysm/.fence-probe/lock
    addresses: [172.20.10.12]
"""

RETURN = r"""
known:
  description: Whether the server knew of the lock, as a lock of that node.
  returned: always
  type: bool
  sample: true
expired:
  description: Whether the client was expired.
  returned: always
  type: bool
  sample: true
problem:
  description: Why it was not; empty when it was.
  returned: always
  type: str
  sample: ""
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, UnreadableError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfsd


def find(path: str, addresses: t.Collection[str]) -> dict[str, t.Any]:
    """The client that is meant, if it is the only one and holds nothing else; and what stands against it."""
    wanted = {_nfsd.canonical(one) for one in addresses}
    found: dict[str, t.Any] = {"known": False, "problem": "", "number": ""}
    hidden = _nfsd.blind()
    if hidden is not None:
        return dict(found, problem=hidden)
    holders = [client for client in _expiry.read_clients({"probe": path}) if client.holds]
    if len(holders) != 1 or _nfsd.canonical(holders[0].address) not in wanted:
        who = ", ".join(client.address for client in holders) or "no client"
        return dict(found, problem=f"{who} holds the lock on {path}, by what the NFS server knows")
    found.update(known=True, number=holders[0].number)
    inode = _nfsd.inode_of(path)
    folder = os.path.join(_nfsd.ROOT, "clients", holders[0].number)
    told = _nfsd.client_file(folder, "states")
    if told is None:
        raise UnreadableError(folder, "the client has just left")
    others = sorted(
        {
            state.get("filename", "a file")
            for state in _nfsd.parse_states(told)
            if state["type"] in ("lock", "deleg") and not _nfsd.is_of(state, path, inode)
        }
    )
    if others:
        found["problem"] = "{} holds other locks as well ({}), which it would lose".format(
            holders[0].address, ", ".join(others[:5])
        )
    return found


def main() -> None:
    """Read the parameters, look, expire, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        found = find(module.params["path"], module.params["addresses"])
        ready = found["known"] and not found["problem"]
        if ready and not module.check_mode:
            _expiry.expire(found["number"])
    except (StakingError, _nfsd.NfsdError, OSError) as exc:
        module.fail_json(msg=f"The NFS server cannot be asked: {exc}")
    module.exit_json(changed=ready, expired=ready, known=found["known"], problem=found["problem"])


if __name__ == "__main__":
    main()
