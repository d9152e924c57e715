# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: node_named
short_description: Which Node object a machine is, while the machine itself cannot be asked
version_added: 0.1.0
description:
  - The node of this name, or else the one node that has one of the machine's addresses.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: name, addresses
options:
  _input:
    description: Node objects.
    type: list
    elements: dict
    required: true
  name:
    description: The machine, as the inventory or Kubernetes calls it.
    type: str
    required: true
  addresses:
    description: Addresses of the machine that are known besides.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say which node it is
  ansible.builtin.debug:
    msg: "{{ (nodes.resources | eth2xk8s.staking.node_named('worker', ['172.20.10.12'])).node }}"
"""

RETURN = r"""
_value:
  description:
    - C(node), its name, empty where no node is meant or more than one; C(addresses), all of them; C(kubelet), address
      and port of its kubelet; C(out_of_service), whether it has been taken out of service.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._nodes import node_named as find


def node_named(nodes: t.Iterable[t.Any], name: str, addresses: t.Sequence[str] = ()) -> dict[str, t.Any]:
    """The node, see the documentation."""
    return find(nodes, name, addresses)._asdict()


class FilterModule:
    """Filters over Kubernetes' objects."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"node_named": node_named}
