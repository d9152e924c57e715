# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: clients_with_keys
short_description: Validator clients as the modules that judge them take them
version_added: 0.1.0
description:
  - Puts together what M(eth2xk8s.staking.slashing_protection_guard) and M(eth2xk8s.staking.validator_duties) ask of
    each client. A client whose keys are not known is an error, since nothing could be judged or proved of it.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: keys
options:
  _input:
    description: The clients, as P(eth2xk8s.staking.prysm_clients#filter) gives them.
    type: list
    elements: dict
    required: true
  keys:
    description: The public keys of each client, by its name.
    type: dict
    required: true
  names:
    description: Clients to leave the others out; all without it.
    type: list
    elements: str
  directories:
    description: Whether to name the directories of each as well.
    type: bool
    default: true
  version:
    description: The version of Prysm that each runs or is about to run.
    type: str
  installed:
    description: The values of each client that is installed, by its name, which have its identity.
    type: dict
"""

EXAMPLES = r"""
- name: Judge the histories of all clients
  eth2xk8s.staking.slashing_protection_guard:
    record: /data/prysm/.history/record.json
    clients: >-
      {{ prysm_validators | eth2xk8s.staking.prysm_clients('/data/prysm')
         | eth2xk8s.staking.clients_with_keys(prysm_wallet_keys, version='v7.1.6') }}
"""

RETURN = r"""
_value:
  description: Of each client C(name) and C(pubkeys), and what else was asked for.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError


def clients_with_keys(
    clients: t.Iterable[t.Mapping[str, t.Any]],
    keys: t.Mapping[str, t.Sequence[str]],
    names: t.Container[str] | None = None,
    directories: bool = True,
    version: str | None = None,
    installed: t.Mapping[str, t.Mapping[str, t.Any] | None] | None = None,
) -> list[dict[str, t.Any]]:
    """The clients, see the documentation."""
    found = []
    for client in clients:
        name = client["name"]
        if names is not None and name not in names:
            continue
        if name not in keys:
            raise AnsibleFilterError(f"the public keys of {name} are not known")
        entry = {"name": name, "pubkeys": list(keys[name])}
        if directories:
            entry.update(data_dir=client["data_dir"], wallet_dir=client["wallet_dir"])
        if version is not None:
            entry["version"] = version
        if installed is not None:
            entry["installed"] = (installed.get(name) or {}).get("dataIdentity") or ""
        found.append(entry)
    return found


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"clients_with_keys": clients_with_keys}
