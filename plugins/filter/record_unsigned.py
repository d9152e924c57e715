# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: record_unsigned
short_description: The keys of which the site's record says that they have never signed
version_added: 0.1.0
description:
  - Such keys may wait for their deposit or their activation. A key that is not on record is among them.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: keys
options:
  _input:
    description: RV(eth2xk8s.staking.slashing_protection_guard#module:record).
    type: dict
    required: true
  keys:
    description: Public keys.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say which keys are new
  ansible.builtin.debug:
    msg: "{{ guarded.record | eth2xk8s.staking.record_unsigned(prysm_wallet_keys['values']() | flatten) }}"
"""

RETURN = r"""
_value:
  description: Public keys, in lower case.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._site_keys import unsigned


class FilterModule:
    """A filter over the site's record."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"record_unsigned": unsigned}
