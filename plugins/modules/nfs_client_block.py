#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nfs_client_block
short_description: Keep a node away from this machine's NFS server, and take its locks away
version_added: 0.1.0
description:
  - Drops what the node sends to the NFS server, has the server forget the node with every lock that it holds, and
    proves that it does not come back. Another node that waits for such a lock has it from then on.
  - A node that still runs cannot write what it signs any more, and so it cannot sign. Nothing here stops it otherwise.
  - Does nothing while the server does not know whose its locks are, in the grace period after its start.
  - The block lasts until it is taken away, or until this machine starts again. After that the node may mount again, and
    finds its locks with others.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  addresses:
    description: Every address of the node.
    type: list
    elements: str
    required: true
  state:
    description: Whether the node is kept away.
    type: str
    choices: [blocked, allowed]
    default: blocked
  timeout:
    description: Seconds to wait until the server has forgotten the node, its grace period included.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Keep a dead node away from the data
  eth2xk8s.staking.nfs_client_block:
    addresses: [172.20.10.12]

- name: Let it in again
  eth2xk8s.staking.nfs_client_block:
    addresses: [172.20.10.12]
    state: allowed
"""

RETURN = r"""
blocked:
  description: Addresses whose packets are dropped now.
  returned: success
  type: list
  elements: str
  sample: [172.20.10.12]
expired:
  description: How many clients of the node the server was told to forget.
  returned: success
  type: int
  sample: 1
"""

import threading
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _expiry, _nfs_block, _nfsd

#: Seconds in which a node that is not kept away would be back: whoever has or wants a lock touches the server each.
WATCHED = 3.0


def _forget(number: str, said: list[str]) -> None:
    try:
        _expiry.expire(number)
    except StakingError as exc:
        said.append(str(exc))


def take_locks(addresses: t.Sequence[str], timeout: float) -> int:
    """Have the server forget every client at these addresses; how many. BlockError when one stays or comes back."""
    deadline = time.monotonic() + timeout
    told: set[str] = set()
    said: list[str] = []
    alone = 0.0
    while True:
        left = _nfs_block.clients_of(addresses, _expiry.read_clients({}))
        now = time.monotonic()
        alone = 0.0 if left else alone or now
        if alone and now - alone >= WATCHED:
            return len(told)
        if now >= deadline:
            raise _nfs_block.BlockError(
                f"the NFS server still knows {', '.join(sorted({client.address for client in left}))}"
                + (f" ({'; '.join(said)})" if said else "")
            )
        for client in left:
            if client.number not in told:
                told.add(client.number)
                # The server ends a request that is under way first; the deadline must not wait for that.
                threading.Thread(target=_forget, args=(client.number, said), daemon=True).start()
        time.sleep(0.2)


def main() -> None:
    """Read the parameters, block or allow, prove, report."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["blocked", "allowed"], "default": "blocked"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    addresses: list[str] = module.params["addresses"]
    wanted = module.params["state"] == "blocked"

    def run(command: t.Sequence[str]) -> tuple[int, str]:
        status, out, err = module.run_command(list(command))
        return status, out + err

    expired = 0
    try:
        before = [address for address in addresses if _nfs_block.is_blocked(address, run)]
        changed = before != (addresses if wanted else [])
        if wanted:
            hidden = _nfsd.blind(module.params["timeout"])
            if hidden is not None:
                module.fail_json(msg=f"Nothing was changed: {hidden}.")
        if not module.check_mode:
            for address in addresses:
                (_nfs_block.block if wanted else _nfs_block.allow)(address, run)
            if wanted:
                expired = take_locks(addresses, module.params["timeout"])
    except (StakingError, _nfsd.NfsdError, _nfs_block.BlockError) as exc:
        module.fail_json(msg=f"{', '.join(addresses)} cannot be {module.params['state']} at the NFS server: {exc}.")
    module.exit_json(changed=changed or expired > 0, blocked=addresses if wanted else [], expired=expired)


if __name__ == "__main__":
    main()
