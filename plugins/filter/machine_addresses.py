# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: machine_addresses
short_description: Names and addresses of machines
version_added: 0.1.0
description:
  - The name that each machine calls itself by, in lower case, and the address by which the inventory reaches it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: hostvars
options:
  _input:
    description: The machines.
    type: list
    elements: str
    required: true
  hostvars:
    description: Their variables, with the fact C(hostname).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Let the machines know each other
  ansible.builtin.include_role:
    name: eth2xk8s.staking.base
  vars:
    base_hosts: "{{ groups['site'] | eth2xk8s.staking.machine_addresses(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Of each machine C(name) and C(address).
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError


def machine_addresses(hosts: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    """Name and address of each machine, see the documentation."""
    found = []
    for host in hosts:
        try:
            name = hostvars[host]["ansible_facts"]["hostname"]
            found.append({"name": name.lower(), "address": hostvars[host]["ansible_host"]})
        except KeyError as exc:
            raise AnsibleFilterError(f"{host} has no {exc.args[0]}") from exc
    return found


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"machine_addresses": machine_addresses}
