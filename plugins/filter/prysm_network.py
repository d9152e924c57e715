# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_network
short_description: What the version table says of a network
version_added: 0.1.0
description:
  - Its genesis, its chain, and which releases follow it when.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The version table, the chart's C(files/versions.yaml) on the controller.
    type: path
    required: true
  network:
    description: The network, such as V(hoodi).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say when the network began
  ansible.builtin.debug:
    msg: "{{ ('eth2prysm/files/versions.yaml' | eth2xk8s.staking.prysm_network('hoodi')).genesis }}"
"""

RETURN = r"""
_value:
  description: What the table says; empty for a network that it does not know.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._versions import Table, VersionError


def prysm_network(table: str, network: str) -> dict[str, t.Any]:
    """What the table at this path says of a network."""
    try:
        return Table.read(table).network(network)
    except VersionError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"prysm_network": prysm_network}
