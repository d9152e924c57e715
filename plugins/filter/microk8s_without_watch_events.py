# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_without_watch_events
short_description: Control planes that deliver no watch events
version_added: 0.1.0
description:
  - One whose node the cluster itself calls not Ready serves no one, and is left out.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: nodes, hostvars
options:
  _input:
    description: What M(eth2xk8s.staking.microk8s_watch_probe) returned for each, with C(__microk8s_watched_host).
    type: list
    elements: dict
    required: true
  nodes:
    description: The nodes of the cluster, as M(eth2xk8s.staking.microk8s_info) gives them.
    type: list
    elements: dict
    required: true
  hostvars:
    description: The variables of the machines.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say which do not
  ansible.builtin.debug:
    msg: "{{ watches.results | eth2xk8s.staking.microk8s_without_watch_events(there.nodes, hostvars) }}"
"""

RETURN = r"""
_value:
  description: The name of each, and why it counts as one.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import address_of, without_watch_events

#: The variable of the loop that tries them.
_HOST = "__microk8s_watched_host"


def microk8s_without_watch_events(
    results: t.Iterable[t.Mapping[str, t.Any]],
    nodes: t.Iterable[t.Mapping[str, t.Any]],
    hostvars: t.Mapping[str, t.Mapping[str, t.Any]],
) -> list[str]:
    """The control planes, see the documentation."""
    watches = {result[_HOST]: result for result in results}
    return without_watch_events(watches, nodes, {host: address_of(host, hostvars[host]) for host in watches})


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_without_watch_events": microk8s_without_watch_events}
