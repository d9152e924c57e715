# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_tunnels
short_description: The ends of the pod network's tunnels
version_added: 0.1.0
description:
  - Gives the address of each node's VXLAN device, as Calico notes it on the Node object.
  - Nodes without one are left out.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: without
options:
  _input:
    description: Node objects.
    type: list
    elements: dict
    required: true
  without:
    description: The name of a node that is left out, too.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Measure the pods' network
  eth2xk8s.staking.pod_network_probe:
    peers: "{{ nodes.resources | eth2xk8s.staking.pod_tunnels('worker') }}"
"""

RETURN = r"""
_value:
  description: The C(name) and C(address) of each.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import pod_tunnels


class FilterModule:
    """Filters over Kubernetes' objects."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pod_tunnels": pod_tunnels}
