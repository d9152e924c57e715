# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ready_nodes
short_description: The nodes that are Ready
version_added: 0.1.0
description:
  - The condition of a node stays Ready for as long as no controller is at work that would change it. So with O(leases)
    a node counts only while its kubelet renews its lease, which it does every ten seconds.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: leases, now
options:
  _input:
    description: Node objects.
    type: list
    elements: dict
    required: true
  leases:
    description: The Lease objects of the namespace C(kube-node-lease).
    type: list
    elements: dict
  now:
    description: The time when they were read, in seconds since 1970. Required with O(leases).
    type: float
  taking_pods:
    description: Whether nodes that are cordoned are left out.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Say which nodes are Ready
  ansible.builtin.debug:
    msg: "{{ nodes.resources | eth2xk8s.staking.ready_nodes(leases.resources, now().timestamp()) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import ready_nodes


class FilterModule:
    """Filters over Kubernetes' objects."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"ready_nodes": ready_nodes}
