# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: live_keys
short_description: Which keys running clients sign with
version_added: 0.1.0
description:
  - Joins what is known already with what key managers say. A client that does not run signs with nothing, and a key
    manager that did not answer says nothing here.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: answers
options:
  _input:
    description: The public keys of each client, by its name, as far as they are known.
    type: dict
    required: true
  answers:
    description: What M(eth2xk8s.staking.key_manager_info) has returned for each key manager.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say which keys are in use
  ansible.builtin.debug:
    msg: "{{ found.live | eth2xk8s.staking.live_keys(asked.results) }}"
"""

RETURN = r"""
_value:
  description: The public keys of each client, by its name.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._key_manager import live_keys


class FilterModule:
    """Filters of the role prysm_wallet."""

    def filters(self) -> dict[str, t.Any]:
        return {"live_keys": live_keys}
