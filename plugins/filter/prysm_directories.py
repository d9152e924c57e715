# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_directories
short_description: The directories in which a site keeps its data
version_added: 0.1.0
description:
  - The directory of every beacon node, and the database's and the wallet's of every validator client.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The entries of C(prysm_validators).
    type: list
    elements: dict
    required: true
  data_dir:
    description: The data directory of the site.
    type: str
    required: true
  beacons:
    description: How many beacon nodes the site has.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Make every directory
  ansible.builtin.file:
    path: "{{ item }}"
    state: directory
    mode: "0700"
  loop: "{{ prysm_validators | eth2xk8s.staking.prysm_directories(prysm_data_dir) }}"
"""

RETURN = r"""
_value:
  description: The directories.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _data_dir


def prysm_directories(entries: t.Iterable[t.Mapping[str, t.Any]], data_dir: str, beacons: int | str = 1) -> list[str]:
    """Those of the beacon nodes, then of all clients those of the databases, then those of the wallets."""
    clients = [_data_dir.client(entry, data_dir) for entry in entries]
    return [
        *_data_dir.beacon_dirs(int(beacons), data_dir),
        *(client.data_dir for client in clients),
        *(client.wallet_dir for client in clients),
    ]


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"prysm_directories": prysm_directories}
