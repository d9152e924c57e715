# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: prysm_needs
short_description: What several machines have found, in one list
version_added: 0.1.0
description:
  - Gives each sentence once, with the machines that say it where not all of them do.
positional: kind
options:
  _input:
    description: What each machine has found, by its name.
    type: dict
    required: true
  kind:
    description: Which of its lists of sentences.
    type: str
    choices: [problems, notes, unjudged]
    default: problems
"""

EXAMPLES = r"""
- name: Say what is missing
  ansible.builtin.debug:
    msg: "{{ needs | eth2xk8s.staking.prysm_needs('problems') }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import merged


def prysm_needs(found: dict[str, dict[str, t.Any]], kind: str = "problems") -> list[str]:
    """The sentences, see the documentation."""
    return merged(found, kind)


class FilterModule:
    """Filters of the playbooks."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"prysm_needs": prysm_needs}
