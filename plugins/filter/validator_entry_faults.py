# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: validator_entry_faults
short_description: What YAML has made of a validator's entry that was not meant
version_added: 0.1.0
description:
  - Finds values of C(prysm_validators) that YAML reads as something else than text, such as a password C(01234567) (an
    octal number) or a public key without quotes, and lists that are no lists. A value is never quoted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The entries.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse values that YAML has changed
  ansible.builtin.assert:
    that: prysm_validators | eth2xk8s.staking.validator_entry_faults | length == 0
"""

RETURN = r"""
_value:
  description: A sentence for each fault.
  type: list
  elements: str
"""

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import yaml_kind

#: Values that are text, or are looked up by it.
_TEXTS = (
    "name",
    "keystores_on",
    "keystore_password",
    "keystore_password_file",
    "wallet_password",
    "wallet_password_file",
    "data_dir",
    "wallet_dir",
    "fee_recipient",
    "graffiti",
)
_LISTS = ("keystores", "slashing_protection")


def _is_list(value: t.Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _of_entry(entry: t.Any, where: str) -> t.Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{where} is {yaml_kind(entry)}; it must be a dictionary with a name"
        return
    for field in _TEXTS:
        if field in entry and entry[field] is None:
            yield f"{where}: {field} is empty; give it a value, or leave it out"
        elif field in entry and not isinstance(entry[field], str):
            yield f"{where}: YAML reads {field} as {yaml_kind(entry[field])}; put it in quotes"
    for field in _LISTS:
        if field not in entry:
            continue
        if not _is_list(entry[field]):
            yield f"{where}: {field} must be a list, each path behind a dash"
        elif not all(isinstance(path, str) and path for path in entry[field]):
            yield f"{where}: {field} has an entry that is not a path; put it in quotes"
    passwords = entry.get("keystore_passwords", {})
    if not isinstance(passwords, Mapping):
        yield f"{where}: keystore_passwords must be a dictionary (key or file name: password)"
        return
    for number, (name, password) in enumerate(passwords.items(), 1):
        if not isinstance(name, str):
            yield f"{where}: YAML reads key {number} of keystore_passwords as {yaml_kind(name)}; put it in quotes"
        if not isinstance(password, str):
            kind = yaml_kind(password)
            yield f"{where}: YAML reads password {number} of keystore_passwords as {kind}; put it in quotes"


def validator_entry_faults(entries: t.Any, **lists: t.Any) -> list[str]:
    """A sentence for each value that is not what was meant; lists are further variables that are lists of text."""
    faults: list[str] = []
    if not _is_list(entries):
        faults.append(f"prysm_validators is {yaml_kind(entries)}; it must be a list, each entry behind a dash")
        entries = []
    for number, entry in enumerate(entries, 1):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        faults += _of_entry(entry, name if isinstance(name, str) and name else f"entry {number} of prysm_validators")
    for variable, values in lists.items():
        if not _is_list(values):
            faults.append(f"{variable} must be a list, each item behind a dash")
            continue
        for number, value in enumerate(values, 1):
            if not isinstance(value, str):
                faults.append(f"{variable}: YAML reads item {number} as {yaml_kind(value)}; put it in quotes")
    return faults


class FilterModule:
    """Ansible's name for what is in here."""

    def filters(self) -> dict[str, t.Any]:
        return {"validator_entry_faults": validator_entry_faults}
