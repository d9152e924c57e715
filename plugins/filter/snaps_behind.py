# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: snaps_behind
short_description: Snaps of which the store has a newer revision
version_added: 0.1.0
description:
  - A snap that was installed from a file has no revision of the store, so that whatever the store has is newer.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: offered
options:
  _input:
    description: The C(name) and C(revision) of each snap, as M(eth2xk8s.staking.microk8s_info) gives them.
    type: list
    elements: dict
    required: true
  offered:
    description: The revision that the store offers, by name. A snap that is not in it is behind nothing.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what would be refreshed
  ansible.builtin.debug:
    msg: "{{ here.bases | eth2xk8s.staking.snaps_behind({'core22': 2412}) }}"
"""

RETURN = r"""
_value:
  description: Their names.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import snaps_behind


class FilterModule:
    """Filters of the role microk8s."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"snaps_behind": snaps_behind}
