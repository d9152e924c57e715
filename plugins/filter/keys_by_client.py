# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: keys_by_client
short_description: Which client has which keys
version_added: 0.1.0
description:
  - Turns the C(keys) that M(eth2xk8s.staking.validator_key_uniqueness) returns around.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: clients
options:
  _input:
    description: The places of each key.
    type: dict
    required: true
  clients:
    description: Names of clients that are in the result even when they have no key.
    type: list
    elements: str
    default: []
  kinds:
    description: The kinds of places that count, V(wallet) and V(keystore).
    type: list
    elements: str
    default: [wallet]
"""

EXAMPLES = r"""
- name: Show the keys of validator1
  ansible.builtin.debug:
    msg: "{{ (found['keys'] | eth2xk8s.staking.keys_by_client).validator1 }}"
"""

RETURN = r"""
_value:
  description: The public keys of each client, by its name. Places of no client are left out.
  type: dict
"""

import typing as t


def keys_by_client(
    keys: t.Mapping[str, t.Iterable[t.Mapping[str, t.Any]]],
    clients: t.Iterable[str] = (),
    kinds: t.Container[str] = ("wallet",),
) -> dict[str, list[str]]:
    """The keys of each client, in places of these kinds."""
    found: dict[str, list[str]] = {name: [] for name in clients}
    for key, places in keys.items():
        owners = [place.get("client") for place in places if place["kind"] in kinds]
        for owner in dict.fromkeys(owner for owner in owners if owner is not None):
            found.setdefault(owner, []).append(key)
    return found


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"keys_by_client": keys_by_client}
