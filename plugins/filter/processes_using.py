# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: processes_using
short_description: Processes that have a directory of a client
version_added: 0.1.0
description:
  - Of the processes that may sign, on any machine, those that have one of the directories mounted or a file in it open.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: directories
options:
  _input:
    description: What M(eth2xk8s.staking.signing_process_info) returned for each machine, C(__prysm_helm_machine).
    type: list
    elements: dict
    required: true
  directories:
    description: The directories, on their NFS server or on the machine.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse to go on while one is left
  ansible.builtin.assert:
    that: read.results | eth2xk8s.staking.processes_using(['/data/prysm/validator1']) | length == 0
"""

RETURN = r"""
_value:
  description: The number of each, its machine, and why it may sign.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._signers import processes_using

#: The variable of the loop that reads them.
_MACHINE = "__prysm_helm_machine"


def using(results: t.Iterable[t.Mapping[str, t.Any]], directories: t.Iterable[str]) -> list[str]:
    """The processes, see the documentation."""
    return processes_using({result[_MACHINE]: result["processes"] for result in results}, directories)


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"processes_using": using}
