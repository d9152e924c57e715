# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: microk8s_may_revert
short_description: Whether a node may go back to the revision it had before a refresh
version_added: 0.1.0
description:
  - snapd keeps the data of each revision apart, the datastore of a control plane among them. To revert one is to forget
    what the cluster did since the refresh.
  - So a worker may go back, or a control plane that is alone and whose new API server never answered. An answer that
    was not looked for counts as given.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: before
options:
  _input:
    description: What M(eth2xk8s.staking.microk8s_info) returned for the machine after the refresh.
    type: dict
    required: true
  before:
    description: The row of C(snap list) before the refresh.
    type: dict
    required: true
  worker:
    description: Whether the node is a worker.
    type: bool
    required: true
  alone:
    description: Whether the cluster has no other control plane.
    type: bool
    required: true
  waited:
    description: What M(eth2xk8s.staking.microk8s_info) returned when it waited for the node, or nothing.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Decide whether it is safe to go back
  ansible.builtin.set_fact:
    safe: "{{ here | eth2xk8s.staking.microk8s_may_revert(before, worker=false, alone=true, waited=there) }}"
"""

RETURN = r"""
_value:
  description: Whether it is safe, and there is something to go back from.
  type: bool
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import may_revert


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"microk8s_may_revert": may_revert}
