# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_claims
short_description: The claims that each validator client is given
version_added: 0.1.0
description:
  - On storage that is not NFS the pods mount claims, of the release or of the operator. Their names follow from the
    values.
positional: clients
options:
  _input:
    description: The values that are given to the chart, C(prysm_helm_values).
    type: dict
    required: true
  clients:
    description: Names of the clients.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the claims of validator1
  ansible.builtin.debug:
    msg: "{{ (prysm_helm_values | eth2xk8s.staking.prysm_claims(['validator1'])).validator1 }}"
"""

RETURN = r"""
_value:
  description: By client, the names of its claims, C(wallet) and C(data). Empty where the storage is NFS.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers import _release_values


def prysm_claims(values: dict[str, t.Any], clients: list[str]) -> dict[str, dict[str, str]]:
    """The claims, see the documentation."""
    return _release_values.claims(values, clients)


class FilterModule:
    """Filters of the roles."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_claims": prysm_claims}
