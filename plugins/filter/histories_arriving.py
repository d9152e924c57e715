# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: histories_arriving
short_description: Slashing protection histories that arrive with keys
version_added: 0.1.0
description:
  - Those that entries name in C(slashing_protection), and those that lie beside their keystores; each once.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: beside, dest
options:
  _input:
    description: The entries of C(prysm_validators).
    type: list
    elements: dict
    required: true
  beside:
    description: >-
      What lies beside the keystores of each client, by its name - C(on), V(controller) or V(nfs), and C(paths).
    type: dict
    required: true
  dest:
    description: The directory on the NFS server into which those of the controller are brought.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Say what has to be brought
  ansible.builtin.debug:
    msg: >-
      {{ prysm_validators | eth2xk8s.staking.histories_arriving({}, '/var/lib/eth2xk8s/arriving')
         | selectattr('on', 'eq', 'controller') }}
"""

RETURN = r"""
_value:
  description: >-
    Of each history its C(client), C(on) which machine it is (V(controller) or V(nfs)), its C(path) there, and
    C(dest), its path on the NFS server, where it is then.
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _arrivals


def histories_arriving(
    entries: t.Iterable[t.Mapping[str, t.Any]], beside: t.Mapping[str, t.Mapping[str, t.Any]], dest: str
) -> list[dict[str, str]]:
    """Each history, see the documentation."""
    return [one._asdict() for one in _arrivals.arriving(entries, beside, dest)]


class FilterModule:
    """Filters of the role prysm_wallet."""

    def filters(self) -> dict[str, t.Any]:
        return {"histories_arriving": histories_arriving}
