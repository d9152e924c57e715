# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: site_layout
short_description: Who provides the cluster of a site, and which machine does what
version_added: 0.1.0
description:
  - Reads the groups of an inventory. A machine in the group C(helm_client) says that the cluster is there already, and
    that this machine reaches it with a kubeconfig; without one the site is built on MicroK8s.
  - This is the one place that knows providers of clusters and their paths.
positional: away, because
options:
  _input:
    description: The groups of the inventory, C(groups).
    type: dict
    required: true
  away:
    description: A node that is gone, and does nothing. One that is not in the inventory changes nothing.
    type: str
    default: ""
  because:
    description: Why storage that nothing is proved of will do, in the operator's words; V(left_out) repeats it.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Say where Helm is used
  ansible.builtin.debug:
    msg: "{{ (groups | eth2xk8s.staking.site_layout).helm_client }}"
"""

RETURN = r"""
_value:
  description:
    - V(provider), C(microk8s) or C(kubeconfig), and whether this collection builds it (V(built)); V(kubeconfig) and
      V(helm), their default paths on V(helm_client); V(installed_at) and V(ports), by which it is known on a machine;
      V(watches), whether its control planes are asked for watch events.
    - Machines by what they do, empty where none does it - V(helm_client), V(nfs), V(storage) (sees the wallets),
      V(keys_on) (where keys are read or compared), V(lock) (keeps the run lock); lists are V(nodes), V(members),
      V(control_planes) and V(prepared).
    - V(left_out), what this collection does not do or prove on this site, in sentences; V(away), as it was given.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site import _site_layout


def site_layout(groups: dict[str, list[str]], away: str = "", because: str = "") -> dict[str, t.Any]:
    """The layout, see the documentation."""
    return _site_layout.layout(groups, away, because)._asdict()


class FilterModule:
    """Filters of the playbooks and roles."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"site_layout": site_layout}
