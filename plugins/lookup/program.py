# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: program
short_description: A program of a role, with the parts of this collection that it imports
version_added: 0.1.0
description:
  - Gives what M(eth2xk8s.staking.text_tree) writes, so that the program runs on a machine without this collection.
  - Follows the imports below C(ansible_collections.eth2xk8s.staking.plugins.module_utils), also those of what is
    imported. One that leads nowhere is an error.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _terms:
    description: Programs, by path below the C(files) of the role.
    type: list
    elements: str
    required: true
  role:
    description: The role of this collection that has them. Others may ask what it would write.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Install the history watcher
  eth2xk8s.staking.text_tree:
    dest: /usr/local/lib/eth2xk8s/history
    files: "{{ lookup('eth2xk8s.staking.program', 'eth2xk8s-history.py', role='prysm_wallet') }}"
"""

RETURN = r"""
_raw:
  description: Of each program, content by path below the directory that it lies in - its own, and its modules'.
  type: list
  elements: dict
  sample: [{"eth2xk8s-history.py": "#!/usr/bin/python3"}]
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._program import needed

#: Of this collection, wherever it is installed.
_ROOT = Path(__file__).parents[2]


class LookupModule(LookupBase):
    """Reads the collection's own files."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, str]]:
        self.set_options(var_options=variables, direct=kwargs)
        folder, utils = _ROOT / "roles" / self.get_option("role") / "files", _ROOT / "plugins/module_utils"
        try:
            return [needed(str(folder / term), str(utils)) for term in terms]
        except (OSError, StakingError, SyntaxError, ValueError) as exc:
            raise AnsibleError(f"A program cannot be put together: {exc}") from exc
