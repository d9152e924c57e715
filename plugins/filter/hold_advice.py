# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hold_advice
short_description: What to run for a client that is on hold
version_added: 0.1.0
description:
  - Names the command that finishes what put a client on hold, or that gives it up.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The text of C(.validator-hold).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what to run
  ansible.builtin.debug:
    msg: "{{ 'rollback to v1.2.2' | eth2xk8s.staking.hold_advice }}"
"""

RETURN = r"""
_value:
  description: A sentence.
  type: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._holds import advice


class FilterModule:
    """Filters of the roles."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"hold_advice": advice}
