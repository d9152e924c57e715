# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_own_node
short_description: The Node object of a machine
version_added: 0.1.0
description:
  - Finds the Node object of a machine by the identity of the machine, whatever name and address it is registered under.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: here, address
options:
  _input:
    description: What M(eth2xk8s.staking.microk8s_info) returned for the seed of the cluster, with its nodes.
    type: dict
    required: true
  here:
    description: What it returned for the machine.
    type: dict
    required: true
  address:
    description: The machine's address in the site's network.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Say what the node is called
  ansible.builtin.debug:
    msg: "{{ (there | eth2xk8s.staking.microk8s_own_node(here, '172.20.10.12')).name }}"
"""

RETURN = r"""
_value:
  description: The entry of the machine in the list of nodes; empty where the cluster does not know the machine.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import node_of


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_own_node": node_of}
