# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: key_move_state
short_description: How far the move of a key from one client to another has come
version_added: 0.1.0
description:
  - A client that is on hold says that a move was begun. Otherwise the wallets say whether it was made.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: key, source, target
options:
  _input:
    description: The public keys in each client's wallet, by the client's name.
    type: dict
    required: true
  key:
    description: The public key.
    type: str
    required: true
  source:
    description: The client that the key leaves.
    type: str
    required: true
  target:
    description: The client that it comes to.
    type: str
    required: true
  holds:
    description: What the two clients are on hold with.
    type: list
    elements: str
    required: true
  abort:
    description: Whether the move is to be given up. One that was not begun is then at its end.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Say how far the move has come
  ansible.builtin.debug:
    msg: "{{ wallets | eth2xk8s.staking.key_move_state(key, 'validator1', 'validator2', holds=[], abort=false) }}"
"""

RETURN = r"""
_value:
  description: Either C(begin), C(begun) or C(done).
  type: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._holds import move_state


class FilterModule:
    """Filters of the role prysm_wallet."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"key_move_state": move_state}
