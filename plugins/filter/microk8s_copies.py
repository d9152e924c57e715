# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_copies
short_description: Machines that are copies of one another
version_added: 0.1.0
description:
  - Finds those that have the same machine id and the same UUID as a machine, as they have when one disk was copied to
    both. A machine without a machine id has no copies.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: hostvars, host
options:
  _input:
    description: The machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: Their variables, with what M(eth2xk8s.staking.microk8s_info) returned for each.
    type: dict
    required: true
  host:
    description: The machine that they are compared with.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say which machines have this one's disk
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts | eth2xk8s.staking.microk8s_copies(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: Its copies.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import copies

#: What the task that reads a machine registers.
_VARIABLE = "__microk8s_here"


def microk8s_copies(hosts: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], host: str) -> list[str]:
    """The copies, see the documentation."""

    def identity(name: str) -> t.Mapping[str, str]:
        return (hostvars[name].get(_VARIABLE) or {}).get("identity") or {}

    return copies(identity(host), {name: identity(name) for name in hosts if name != host})


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_copies": microk8s_copies}
