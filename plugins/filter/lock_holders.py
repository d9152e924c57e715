# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lock_holders
short_description: Whose the locks of validator clients are to be
version_added: 0.1.0
description:
  - The node of the pod that was proved to sign has the lock of its client, and no other machine has it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: duties
options:
  _input:
    description: The clients, as P(eth2xk8s.staking.prysm_clients#filter) gives them.
    type: list
    elements: dict
    required: true
  duties:
    description: What M(eth2xk8s.staking.validator_duties) returned as C(clients).
    type: dict
    required: true
  named:
    description: Whether that node is named. Where no NFS server can say who holds a lock, any holder will do.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Prove that the node of each client holds its lock
  eth2xk8s.staking.validator_lock:
    wait_held: "{{ clients | eth2xk8s.staking.lock_holders(duties.clients) }}"
"""

RETURN = r"""
_value:
  description: Of each client what O(eth2xk8s.staking.validator_lock#module:wait_held) takes.
  type: list
  elements: dict
  sample: [{"path": "/data/prysm/validator1/validator.db", "address": ["172.20.10.12"]}]
"""

import typing as t

from ansible.errors import AnsibleFilterError


def lock_holders(
    clients: t.Iterable[t.Mapping[str, t.Any]],
    duties: t.Mapping[str, t.Mapping[str, t.Any]],
    named: bool = True,
) -> list[dict[str, t.Any]]:
    """The database of each client, and the addresses that may lock it; see the documentation."""
    found = []
    for client in clients:
        signer = duties[client["name"]]
        # An empty list would take any holder.
        if named and not signer["addresses"]:
            raise AnsibleFilterError(
                f"{client['name']} signs on {signer['node'] or 'no node'}, of which the cluster has no address:"
                " its lock cannot be proved. Look at `kubectl get nodes -o wide`, then run the same command again"
            )
        found.append({"path": client["database"], "address": list(signer["addresses"]) if named else []})
    return found


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"lock_holders": lock_holders}
