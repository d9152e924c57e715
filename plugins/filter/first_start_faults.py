# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: first_start_faults
short_description: What is wrong with the reasons for starting keys without their history
version_added: 0.1.0
description:
  - Judges C(prysm_no_history_because) as M(eth2xk8s.staking.validator_first_starts) does, before any machine is asked.
positional: pubkeys, moving
options:
  _input:
    description: Why keys may start although their history is lost, by public key.
    type: raw
    required: true
  pubkeys:
    description: Public keys of the site, by client.
    type: dict
    required: true
  moving:
    description: A key that is on its way from one client to another, and may be in no wallet.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Refuse reasons that are none
  ansible.builtin.assert:
    that: prysm_no_history_because | eth2xk8s.staking.first_start_faults(prysm_wallet_keys) | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each fault.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._first_starts import faults
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all


def first_start_faults(because: t.Any, pubkeys: dict[str, list[str]], moving: str = "") -> list[str]:
    """The sentences, see the documentation."""
    known = {key for keys in pubkeys.values() for key in normalise_all(keys)}
    return faults(because, known | set(normalise_all([moving] if moving else [])))


class FilterModule:
    """Filters of the roles."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"first_start_faults": first_start_faults}
