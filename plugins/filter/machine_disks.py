# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: machine_disks
short_description: What machines have found on their own disks
version_added: 0.1.0
description:
  - Takes from each machine's variables what M(eth2xk8s.staking.machine_key_info) has returned there, as
    M(eth2xk8s.staking.validator_key_uniqueness) takes it. A machine that was not asked has not been searched.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: hostvars, here
options:
  _input:
    description: The machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: Their variables.
    type: dict
    required: true
  here:
    description: The machine that has the wallets.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a key that is in two places
  eth2xk8s.staking.validator_key_uniqueness:
    machines: "{{ groups['site'] | eth2xk8s.staking.machine_disks(hostvars, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: Of each machine C(host), C(here), C(searched), C(msg), C(keys), C(unreadable) and C(files).
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import machine_report

#: What the task that searches a machine's disks registers.
_VARIABLE = "__prysm_wallet_disks"


def machine_disks(
    hosts: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], here: str
) -> list[dict[str, t.Any]]:
    """What each machine has found, see the documentation."""
    return [machine_report(host, hostvars[host].get(_VARIABLE, {}), host == here) for host in hosts]


class FilterModule:
    """Filters of the role prysm_wallet."""

    def filters(self) -> dict[str, t.Any]:
        return {"machine_disks": machine_disks}
