# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: keys_never_signed
short_description: The keys that have never signed anything, by their histories
version_added: 0.1.0
description:
  - Such keys may wait for their deposit or their activation. Keys whose history was not read are not among them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: wallets
options:
  _input:
    description: What M(eth2xk8s.staking.slashing_protection_info) has returned of each client, by its name.
    type: dict
    required: true
  wallets:
    description: The keys of each client, as P(eth2xk8s.staking.keys_by_client#filter) gives them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say which keys are new
  ansible.builtin.debug:
    msg: "{{ histories | eth2xk8s.staking.keys_never_signed(prysm_wallet_keys) }}"
"""

RETURN = r"""
_value:
  description: Public keys.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._site_keys import never_signed


class FilterModule:
    """Filters over keys and their histories."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"keys_never_signed": never_signed}
