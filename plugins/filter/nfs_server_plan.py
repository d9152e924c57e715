# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nfs_server_plan
short_description: What is to be done to an NFS server, by what was seen of it
version_added: 0.1.0
description:
  - Says for each step of the role nfs_server whether it has something to do, and what.
author:
  - eth2xk8s maintainers (@eth2xk8s)
positional: server, wanted
options:
  _input:
    description: What M(eth2xk8s.staking.machine_info) has returned, with V(paths) and V(units).
    type: dict
    required: true
  server:
    description: What M(eth2xk8s.staking.nfs_server_info) has returned.
    type: dict
    required: true
  wanted:
    description: How the server should be, as the role nfs_server describes it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what would be done
  ansible.builtin.debug:
    msg: "{{ machine | eth2xk8s.staking.nfs_server_plan(server, wanted) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(configure), C(install), C(export), C(run), whether each step has something to do, and C(as_found), whether none
    has; C(runs); C(exports_in_force) and C(settings_in_force), of the running server; C(unlike), files that are not as
    they should be; C(exported), whether the exported directory is; C(directories), those below it that are not.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._nfs_plan import plan


class FilterModule:
    """A filter over what was seen of an NFS server."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"nfs_server_plan": plan}
