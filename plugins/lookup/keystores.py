# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: keystores
short_description: Keystores of the controller, and what lies beside them
version_added: 0.1.0
description:
  - Reads EIP-2335 keystores from files and directories of the controller, as M(eth2xk8s.staking.prysm_wallet_import)
    reads those of a target, and names everything else that lies there.
  - Paths are taken as they are, patterns are not expanded. Files that Ansible Vault encrypted are decrypted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _terms:
    description: Files and directories. Each must give at least one keystore.
    type: list
    elements: path
    required: true
  password:
    description: Password of the keystores, for those that do not say their public key.
    type: str
  passwords:
    description: The same by path, file name or directory.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See what a directory of keystores holds
  ansible.builtin.debug:
    msg: "{{ query('eth2xk8s.staking.keystores', '/secure/validator_keys') | map(attribute='passed_over') }}"
"""

RETURN = r"""
_raw:
  description: One dictionary.
  type: list
  elements: dict
  contains:
    files:
      description: RV(_raw[].files[].name), RV(_raw[].files[].content), and the password that lies beside the keystore.
      type: list
      elements: dict
      contains:
        name:
          description: Path of the keystore.
          type: str
        content:
          description: The keystore, as text.
          type: str
        password:
          description:
            - The password in the file beside it, where there is one and no other is given; and that of a keystore that
              does not say its public key.
          type: str
    passed_over:
      description: Files and directories that are no keystores, as path and reason.
      type: list
      elements: dict
    histories:
      description: Paths of slashing-protection files and databases.
      type: list
      elements: str
    deposits:
      description: Public keys that deposit data names.
      type: list
      elements: str
    problems:
      description: What is wrong, a sentence each.
      type: list
      elements: str
"""

import os
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    UnreadableError,
    read_file,
    reason_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._places import follow
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._importer import Collected, Passwords, collect

#: A database beside the keystores is only recognised, not used from here.
_LIMIT = 1 << 30
_VAULT = b"$ANSIBLE_VAULT"


def as_dict(found: Collected, passwords: Passwords) -> dict[str, t.Any]:
    """What was found, as tasks use it."""
    files = []
    for keystore in found.keystores:
        # A mark before UTF-8 is no part of the text.
        item = {"name": keystore.place, "content": found.contents[keystore.place].decode("utf-8-sig")}
        password = passwords.find(keystore, found.beside)
        if password is not None and (keystore.place in found.beside or not keystore.pubkey):
            item["password"] = password
        files.append(item)
    return {
        "files": files,
        "passed_over": [item._asdict() for item in found.passed_over],
        "histories": found.histories,
        "deposits": sorted({key for keys in found.deposits.values() for key in keys}),
        "problems": [str(problem) for problem in found.problems],
    }


class LookupModule(LookupBase):
    """Reads with the controller's own loader, which knows the vault's passwords."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[t.Any]:
        self.set_options(var_options=variables, direct=kwargs)
        paths = []
        for term in terms:
            if not isinstance(term, str):
                raise AnsibleError("keystores must be a list of paths, as text")
            path = os.path.expanduser(term)
            if not os.path.isabs(path):
                path = self.find_file_in_search_path(variables or {}, "files", path, ignore_missing=True) or path
            paths.append(self._loader.path_dwim(path))
        try:
            passwords = Passwords(self.get_option("password"), self.get_option("passwords"))
        except StakingError as exc:
            raise AnsibleError(str(exc)) from exc
        return [as_dict(collect(paths, self._read), passwords)]

    def _read(self, path: str) -> bytes:
        data = read_file(follow(path), _LIMIT, what=path)
        if not data.startswith(_VAULT):
            return data
        try:
            return self._loader.get_text_file_contents(path).encode("utf-8")
        except (AnsibleError, UnicodeError) as exc:
            raise UnreadableError(path, "cannot be decrypted with the vault passwords given") from exc
        except OSError as exc:
            raise UnreadableError(path, reason_of(exc)) from exc
