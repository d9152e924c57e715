# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nfs_helpers
short_description: Which of NFSv3's helpers are to be masked and stopped on a machine
version_added: 0.1.0
description:
  - NFSv4 needs none of them, and rpcbind opens port 111 to everybody.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: units
options:
  _input:
    description: What M(eth2xk8s.staking.machine_info) has returned, with V(paths) and V(units).
    type: dict
    required: true
  units:
    description: Their units.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say which units would be masked
  ansible.builtin.debug:
    msg: "{{ (machine | eth2xk8s.staking.nfs_helpers(['rpcbind.socket'])).mask }}"
"""

RETURN = r"""
_value:
  description: C(mask), the links below /etc/systemd/system that are not there; C(stop), the units that run.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._nfs_plan import helpers


class FilterModule:
    """A filter over what was seen of a machine."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"nfs_helpers": helpers}
