# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovers_lost_locks
short_description: Where it stands that a node's NFS client takes lost locks back
version_added: 0.1.0
description:
  - With C(nfs.recover_lost_locks) a node signs on, after a long pause, with a lock that another node has by then.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description:
      - Texts that may set it, by path - C(/sys/module/nfs/parameters/recover_lost_locks), C(/etc/modprobe.d/*.conf),
        C(/proc/cmdline).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say where
  ansible.builtin.debug:
    msg: "{{ machine.texts | eth2xk8s.staking.recovers_lost_locks }}"
"""

RETURN = r"""
_value:
  description: The paths.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._fence import recovering


class FilterModule:
    """A filter over settings of a node's NFS client."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovers_lost_locks": recovering}
