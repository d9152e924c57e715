# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: files_differing
short_description: The files that are not as they should be, by what was seen of them
version_added: 0.1.0
description:
  - As RV(eth2xk8s.staking.machine_info#module:differing), where files were looked at before their content was known.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: paths
options:
  _input:
    description: Content by path of files that should be there, owned by root, with mode 0644.
    type: dict
    required: true
  paths:
    description: RV(eth2xk8s.staking.machine_info#module:paths), which has looked at these files.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say which files would be written
  ansible.builtin.debug:
    msg: "{{ wanted | eth2xk8s.staking.files_differing(machine.paths) }}"
"""

RETURN = r"""
_value:
  description: Those that are not there, or differ in content, owner, group or mode.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import unlike


class FilterModule:
    """A filter over files that were looked at."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"files_differing": unlike}
