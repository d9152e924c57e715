# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_values_problems
short_description: What speaks against the final values of the release
version_added: 0.1.0
description:
  - Compares the values that are to be installed with those that the inventory gives.
  - The checks before have seen the inventory's clients, paths, storage, network, version and fee recipients. Values
    that change them are refused, and so are places that are one another or lie in one another.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: wanted
options:
  _input:
    description: The final values, everything merged.
    type: dict
    required: true
  wanted:
    description: The values that the inventory gives.
    type: dict
    required: true
  other_storage:
    description: Whether the storage may be another than the site's NFS server.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the values
  ansible.builtin.assert:
    that: final_values | eth2xk8s.staking.prysm_values_problems(inventory_values) | length == 0
"""

RETURN = r"""
_value:
  description: One sentence for each problem.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._release_values import problems


def prysm_values_problems(final: dict[str, t.Any], wanted: dict[str, t.Any], other_storage: bool = False) -> list[str]:
    """The problems, see the documentation."""
    return problems(wanted, final, other_storage)


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_values_problems": prysm_values_problems}
