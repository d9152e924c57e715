# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: base_plan
short_description: What is to be done to a machine's packages and names, by what was seen of it
version_added: 0.1.0
description:
  - Says for each step of the role base whether it has something to do, and what.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: wanted
options:
  _input:
    description: What M(eth2xk8s.staking.machine_info) has returned.
    type: dict
    required: true
  wanted:
    description: How the machine should be, as the role base describes it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what would be done
  ansible.builtin.debug:
    msg: "{{ machine | eth2xk8s.staking.base_plan(wanted) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(packages) and C(identity), whether each step has something to do; its parts C(interrupted), C(upgrade),
    C(missing), a list, and C(apt); C(timezone), C(cloud), C(hosts); C(lists_stale); and
    C(apt_overruled), whether a file that apt reads later speaks of restarts.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._base_plan import plan


class FilterModule:
    """A filter over what was seen of a machine."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"base_plan": plan}
