# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_clients
short_description: The validator clients of a site, with what their entries leave out
version_added: 0.1.0
description:
  - Takes the entries of C(prysm_validators), and says for each where its database, wallet and notes are. This is the
    only place in which these paths are made.
  - Passwords and keystores are left out.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The entries.
    type: list
    elements: dict
    required: true
  data_dir:
    description: The data directory of the site.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where each database is
  ansible.builtin.debug:
    msg: "{{ prysm_validators | eth2xk8s.staking.prysm_clients(prysm_data_dir) | map(attribute='database') }}"
"""

RETURN = r"""
_value:
  description: >-
    For each entry its C(name), C(data_dir), C(wallet_dir), C(fee_recipient), and the paths C(database), C(hold),
    C(lock), C(expected), C(version), C(replacing) of its database and of the notes beside it.
  type: list
  elements: dict
"""

import os
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _data_dir

_NOTES = {
    "database": _data_dir.DATABASE,
    "hold": _data_dir.HOLD,
    "lock": _data_dir.LOCK,
    "expected": _data_dir.EXPECTED,
    "version": _data_dir.VERSION,
    "replacing": _data_dir.REPLACING,
}


def prysm_clients(entries: t.Iterable[t.Mapping[str, t.Any]], data_dir: str) -> list[dict[str, t.Any]]:
    """Each client, and where its files are."""
    found = []
    for entry in entries:
        client = _data_dir.client(entry, data_dir)
        paths = {name: os.path.join(client.data_dir, file) for name, file in _NOTES.items()}
        found.append({**client._asdict(), **paths, "fee_recipient": entry.get("fee_recipient") or ""})
    return found


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"prysm_clients": prysm_clients}
