# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_arguments
short_description: What rendered workloads would start each program with
version_added: 0.1.0
description:
  - Reads the StatefulSets of the chart. What stands before the program, which is the guard's, is left out.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The objects that the chart renders.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the arguments of the clients
  ansible.builtin.debug:
    msg: "{{ (rendered.stdout | from_yaml_all | eth2xk8s.staking.prysm_arguments).validator }}"
"""

RETURN = r"""
_value:
  description: The arguments of the programs, V(beacon) and V(validator); those of several clients together, each once.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._release import program_arguments


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_arguments": program_arguments}
