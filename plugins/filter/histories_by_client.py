# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: histories_by_client
short_description: Where the histories that arrive for each client are
version_added: 0.1.0
description:
  - Turns what P(eth2xk8s.staking.histories_arriving#filter) gives around.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The histories.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what arrives for validator1
  ansible.builtin.debug:
    msg: "{{ (arriving | eth2xk8s.staking.histories_by_client).validator1 | default([]) }}"
"""

RETURN = r"""
_value:
  description: Paths on the NFS server, by client. A client for which nothing arrives is not in it.
  type: dict
"""

import typing as t


def histories_by_client(arriving: t.Iterable[t.Mapping[str, str]]) -> dict[str, list[str]]:
    """The paths of each client."""
    found: dict[str, list[str]] = {}
    for one in arriving:
        found.setdefault(one["client"], []).append(one["dest"])
    return found


class FilterModule:
    """Filters of the role prysm_wallet."""

    def filters(self) -> dict[str, t.Any]:
        return {"histories_by_client": histories_by_client}
