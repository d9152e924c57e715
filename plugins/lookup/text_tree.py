# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: text_tree
short_description: A directory of text files of the controller
version_added: 0.1.0
description:
  - Reads what M(eth2xk8s.staking.text_tree) writes. Files and directories whose names begin with a dot are left out.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _terms:
    description: Directories, by absolute path.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Write a chart
  eth2xk8s.staking.text_tree:
    dest: /var/lib/eth2xk8s/charts/eth2prysm
    files: "{{ lookup('eth2xk8s.staking.text_tree', role_path ~ '/files/eth2prysm') }}"
"""

RETURN = r"""
_raw:
  description: Of each directory, content by path below it.
  type: list
  elements: dict
  sample: [{"Chart.yaml": "apiVersion: v2"}]
"""

import os
import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase


def read_tree(root: Path) -> dict[str, str]:
    """Content by path below a directory; OSError or ValueError where something of it cannot be read as UTF-8."""
    found = {}
    for directory, below, names in os.walk(root, onerror=_raise):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for path in (Path(directory, name) for name in sorted(names) if not name.startswith(".")):
            try:
                found[path.relative_to(root).as_posix()] = path.read_bytes().decode()
            except UnicodeDecodeError as exc:
                raise ValueError(f"{path} is not UTF-8") from exc
    return found


def _raise(error: OSError) -> t.NoReturn:
    raise error


class LookupModule(LookupBase):
    """Reads directories of the controller."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, str]]:
        try:
            return [read_tree(Path(term)) for term in terms]
        except (OSError, ValueError) as exc:
            raise AnsibleError(f"A directory of texts cannot be read: {exc}") from exc
