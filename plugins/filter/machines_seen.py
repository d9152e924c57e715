# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: machines_seen
short_description: What the preflight has seen of each machine
version_added: 0.1.0
description:
  - Takes from each machine's variables what the tasks of the preflight have registered, as
    M(eth2xk8s.staking.site_preflight) takes it. What was not registered was not seen.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: hostvars, played, stores, sizes, cluster_ports, installed_at
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
  played:
    description: The machines that no task has failed on.
    type: list
    elements: str
    required: true
  stores:
    description: Those that store the data.
    type: list
    elements: str
    required: true
  sizes:
    description: Memory and disk (V(memory_gb), V(disk_gb)) that V(nfs) and V(node) must have; nothing is asked without.
    type: dict
    default: {}
  cluster_ports:
    description: Ports that are Kubernetes' own where it is installed, such as V(16443/tcp).
    type: list
    elements: str
    default: []
  installed_at:
    description: The path by which it is seen that Kubernetes is installed. The machines were asked for it.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Refuse to begin without what is missing
  eth2xk8s.staking.site_preflight:
    machines: >-
      {{ groups['site'] | eth2xk8s.staking.machines_seen(hostvars, ansible_play_hosts, groups['nfs'], site_sizes) }}
"""

RETURN = r"""
_value:
  description: What was seen, by machine.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import seen_of

#: What the tasks of the opening and of the preflight register or set.
_VARIABLES = (
    "__site_apart",
    "__site_run_taken",
    "prysm_helm_beacon_database",
    "prysm_helm_machine_seen",
)


def machines_seen(
    hosts: t.Iterable[str],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
    played: t.Container[str],
    stores: t.Container[str],
    sizes: t.Mapping[str, t.Mapping[str, float]] | None = None,
    cluster_ports: t.Sequence[str] = (),
    installed_at: str = "",
) -> dict[str, dict[str, t.Any]]:
    """What was seen of each machine, see the documentation."""
    found = {}
    for host in hosts:
        variables = hostvars[host]
        given = {name: variables[name] for name in _VARIABLES if name in variables}
        size = (sizes or {}).get("nfs" if host in stores else "node", {})
        found[host] = seen_of(given, host in played, host in stores, size, cluster_ports, installed_at)
    return found


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"machines_seen": machines_seen}
