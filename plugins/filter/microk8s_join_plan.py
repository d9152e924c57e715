# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_join_plan
short_description: What a node needs to be in its cluster
version_added: 0.1.0
description:
  - Compares what M(eth2xk8s.staking.microk8s_info) says of a machine with what it says of the seed of the cluster.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: there
options:
  _input:
    description: What M(eth2xk8s.staking.microk8s_info) returned for the machine.
    type: dict
    required: true
  there:
    description: What it returned for the seed, with O(eth2xk8s.staking.microk8s_info#module:cluster=true).
    type: dict
    required: true
  is_seed:
    description: Whether the machine is the seed.
    type: bool
    required: true
  address:
    description: The machine's address in the site's network.
    type: str
    required: true
  role:
    description: V(control_plane) or V(worker).
    type: str
    required: true
  minor:
    description: The minor version of MicroK8s, such as V(36).
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Decide
  ansible.builtin.set_fact:
    plan: "{{ here | eth2xk8s.staking.microk8s_join_plan(there, is_seed=false, address='172.20.10.12',
      role='worker', minor=36) }}"
"""

RETURN = r"""
_value:
  description:
    - The RV(_value.action) (V(none), V(tidy), V(wait), V(join), V(repair) or V(refuse)), the RV(_value.reason), and in
      RV(_value.remove) the name of a stale Node object.
    - RV(_value.half) tells whether an earlier join was cut short.
  type: dict
  contains:
    action:
      description: What to do.
      type: str
    reason:
      description: Why.
      type: str
    remove:
      description: A Node object to remove first, or an empty string.
      type: str
    half:
      description: Whether an earlier join was cut short.
      type: bool
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import join_plan


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_join_plan": join_plan}
