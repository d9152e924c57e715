# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_beacons
short_description: The beacon nodes of a release beside the first
version_added: 0.1.0
description:
  - The value C(additionalBeacons) of the chart, from what the site says of its beacon nodes.
  - Each has a directory and p2p ports of its own, and an execution client of its own where there is one for it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: count, data_dir
options:
  _input:
    description: The value C(beacon) of the chart, with its name and its ports.
    type: dict
    required: true
  count:
    description: How many beacon nodes there are in all.
    type: int
    required: true
  data_dir:
    description: The data directory of the site.
    type: str
    required: true
  endpoints:
    description: Execution clients. The second beacon node uses the second of them, where there is one; else the first.
    type: list
    elements: str
    default: []
  checkpoint:
    description: Where a beacon node that begins gets its first state from.
    type: str
    default: ""
  installed:
    description:
      - The same value of the release that is installed. An address of a checkpoint in it stays as it is, because a
        database that has begun ignores it, and another one would restart the beacon node for nothing.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Say which beacon nodes there are
  ansible.builtin.debug:
    msg: "{{ beacon_values | eth2xk8s.staking.prysm_beacons(2, prysm_data_dir) | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _data_dir

_PORTS = ("p2pTcpPort", "p2pUdpPort", "p2pQuicPort")


def prysm_beacons(
    beacon: t.Mapping[str, t.Any],
    count: int | str,
    data_dir: str,
    endpoints: t.Sequence[str] = (),
    checkpoint: str = "",
    installed: t.Iterable[t.Mapping[str, t.Any]] = (),
) -> list[dict[str, t.Any]]:
    """The entries of the second beacon node and of all that follow."""
    number = int(count)
    before = {entry.get("name"): entry for entry in installed}
    names = _data_dir.beacon_names(number, beacon["name"])
    found = []
    for index, (name, path) in enumerate(zip(names, _data_dir.beacon_dirs(number, data_dir))):
        if not index:
            continue
        entry = {
            "name": name,
            "dataVolumePath": path,
            **{port: int(beacon[port]) + index for port in _PORTS if port in beacon},
        }
        if index < len(endpoints):
            entry["web3Provider"] = endpoints[index]
        entry["checkpointSyncUrl"] = before[name].get("checkpointSyncUrl", "") if name in before else checkpoint
        found.append(entry)
    return found


class FilterModule:
    """A filter over the value `beacon` of the chart."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_beacons": prysm_beacons}
