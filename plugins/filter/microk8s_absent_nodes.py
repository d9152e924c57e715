# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_absent_nodes
short_description: Nodes of a cluster that are none of these machines
version_added: 0.1.0
description:
  - Machines are told by their identity, as by P(eth2xk8s.staking.microk8s_own_node#filter).
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: hosts, hostvars
options:
  _input:
    description: What M(eth2xk8s.staking.microk8s_info) returned for the seed of the cluster, with its nodes.
    type: dict
    required: true
  hosts:
    description: The machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: Their variables, with what M(eth2xk8s.staking.microk8s_info) returned for each.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say which nodes would stay behind
  ansible.builtin.debug:
    msg: "{{ there | eth2xk8s.staking.microk8s_absent_nodes(ansible_play_hosts_all, hostvars) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import absent_nodes, address_of

#: What the task that reads a machine registers.
_VARIABLE = "__microk8s_here"


def microk8s_absent_nodes(
    there: t.Mapping[str, t.Any], hosts: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]
) -> list[str]:
    """The nodes, see the documentation."""
    return absent_nodes(
        there, [(hostvars[host].get(_VARIABLE) or {}, address_of(host, hostvars[host])) for host in hosts]
    )


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_absent_nodes": microk8s_absent_nodes}
