# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lock_takers
short_description: The pods of a client that could take its lock over
version_added: 0.1.0
description:
  - A pod that runs on a node that stays, and that nothing removes, waits for the lock of its client, or has it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: nodes
options:
  _input:
    description: Pod objects of one client.
    type: list
    elements: dict
    required: true
  nodes:
    description: Names of the nodes that are Ready and stay.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say which pod could take over
  ansible.builtin.debug:
    msg: "{{ pods.resources | eth2xk8s.staking.lock_takers(['worker']) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._standby import takers


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"lock_takers": takers}
