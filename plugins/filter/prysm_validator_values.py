# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_validator_values
short_description: The validators of the chart's values
version_added: 0.1.0
description:
  - Gives what each entry says of its client as the chart takes it. Options about keys, wallet and history become
    directories and the name of a Secret; every other one is a value of the same name in camel case.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: data_dir
options:
  _input:
    description: The entries of C(prysm_validators).
    type: list
    elements: dict
    required: true
  data_dir:
    description: The data directory of the site, below which a client's directories are unless its entry names them.
    type: str
    required: true
  identities:
    description: The UUID of each client's directories, by the client's name.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the values of each client
  ansible.builtin.debug:
    msg: "{{ prysm_validators | eth2xk8s.staking.prysm_validator_values(prysm_data_dir) }}"
"""

RETURN = r"""
_value:
  description: The values of each client, by its name.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._release_values import of_entries


def prysm_validator_values(
    entries: t.Iterable[dict[str, t.Any]], data_dir: str, identities: t.Mapping[str, str] | None = None
) -> dict[str, dict[str, t.Any]]:
    """The values, see the documentation."""
    return of_entries(entries, data_dir, identities)


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_validator_values": prysm_validator_values}
