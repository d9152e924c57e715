# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_problems
short_description: Why a cluster that others provide cannot be used
version_added: 0.1.0
description:
  - The machine that uses the cluster needs a kubeconfig that the API server accepts, at least one node behind it, and
    Helm 3 or 4.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: What M(eth2xk8s.staking.cluster_nodes_info) returned for the nodes.
    type: dict
    required: true
  host:
    description: The machine, as the inventory calls it.
    type: str
    required: true
  kubeconfig:
    description: Path of the kubeconfig there.
    type: str
    required: true
  context:
    description: The context in it; empty for the current one.
    type: str
    required: true
  binary:
    description: Helm's program.
    type: str
    required: true
  helm:
    description: What C(helm version --short) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say why the cluster cannot be used
  ansible.builtin.debug:
    msg: >-
      {{ nodes | eth2xk8s.staking.cluster_problems(host=inventory_hostname, kubeconfig='/root/.kube/config', context='',
           binary='helm', helm=helm) }}
"""

RETURN = r"""
_value:
  description: Sentences; none where it can be used.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import of_cluster


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"cluster_problems": of_cluster}
