# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clients_by_state
short_description: Which clients have to be replaced, which stay, and which are new
version_added: 0.1.0
description:
  - Compares the clients of a site with the workloads of its release. One without a workload has nothing to replace.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: workloads, installed, beacons
options:
  _input:
    description: The clients, as P(eth2xk8s.staking.prysm_clients#filter) gives them.
    type: list
    elements: dict
    required: true
  workloads:
    description: The workloads, as M(eth2xk8s.staking.prysm_release_info) gives them.
    type: dict
    required: true
  installed:
    description: The values of the release that was installed before; empty where there was none.
    type: dict
    required: true
  beacons:
    description: The names of the beacon nodes' workloads.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say which clients are going to be replaced
  ansible.builtin.debug:
    msg: >-
      {{ (clients | eth2xk8s.staking.clients_by_state(found.workloads, found['values'], ['beacon'])).outdated
         | map(attribute='name') }}
"""

RETURN = r"""
_value:
  description:
    - C(outdated), clients whose pod must be replaced, or that were stopped; C(current), all others.
    - C(new), clients that the release before did not have.
    - C(halted), the names of those that were stopped.
    - C(steady), whether there are clients, and all of them and the beacon nodes run as they are wanted.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._release import clients_by_state


def by_state(
    clients: t.Iterable[t.Mapping[str, t.Any]],
    workloads: t.Mapping[str, t.Mapping[str, t.Any]],
    installed: t.Mapping[str, t.Any],
    beacons: t.Sequence[str],
) -> dict[str, t.Any]:
    """The clients, see the documentation."""
    return clients_by_state(list(clients), workloads, installed, beacons)._asdict()


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"clients_by_state": by_state}
