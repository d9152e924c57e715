# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: too_small
short_description: What a machine has less of than it should
version_added: 0.1.0
description:
  - Compares memory, cores and the size of a disk with the least that is wanted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: wanted
options:
  _input:
    description: What M(eth2xk8s.staking.machine_info) has returned, with V(disks).
    type: dict
    required: true
  wanted:
    description: V(min_memory_gb), V(min_cores), V(min_disk_gb) and V(disk), the path that the disk is mounted at.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what is too small
  ansible.builtin.debug:
    msg: "{{ machine | eth2xk8s.staking.too_small(wanted) }}"
  vars:
    wanted: {min_memory_gb: 8, min_cores: 2, min_disk_gb: 20, disk: /}
"""

RETURN = r"""
_value:
  description: A few words each, such as "memory 3.9 GB of 8".
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._base_plan import too_small


class FilterModule:
    """A filter over what was seen of a machine."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"too_small": too_small}
