# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nfs_server_faults
short_description: Why a running NFS server is no fence
version_added: 0.1.0
description:
  - Compares what a running server serves with what is wanted, and says each difference in a sentence.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: wanted
options:
  _input:
    description: What M(eth2xk8s.staking.nfs_server_info) has returned.
    type: dict
    required: true
  wanted:
    description: As for P(eth2xk8s.staking.nfs_server_plan#filter).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say why it is no fence
  ansible.builtin.debug:
    msg: "{{ server | eth2xk8s.staking.nfs_server_faults(wanted) }}"
"""

RETURN = r"""
_value:
  description: The sentences; none when the server is as wanted.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._nfs_plan import faults


class FilterModule:
    """A filter over what a running NFS server serves."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"nfs_server_faults": faults}
