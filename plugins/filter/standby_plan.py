# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: standby_plan
short_description: Whether each client gets a second pod that waits for the lock
version_added: 0.1.0
description:
  - A standby is there where it is wanted and this run has proved the fence. Where it is wanted and not proved, the
    release says why.
author:
  - eth2xk8s maintainers (@eth2xk8s)
options:
  _input:
    description: The release, as M(eth2xk8s.staking.prysm_release_info) gives it.
    type: dict
    required: true
  wanted:
    description: Whether a standby is wanted.
    type: bool
    required: true
  fence:
    description: What this run read of mounts and servers - C(proved), C(reasons), C(run).
    type: dict
    required: true
  probe:
    description: What two pods found out by trying the lock - C(proved), C(reasons).
    type: dict
    required: true
  run:
    description: The name of this run. What another one read is no proof.
    type: str
    required: true
  clients:
    description: Names of all clients.
    type: list
    elements: str
    required: true
  halted:
    description: Names of clients that were stopped.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Say why there is no standby
  ansible.builtin.debug:
    msg: >-
      {{ (found | eth2xk8s.staking.standby_plan(wanted=true, fence=prysm_helm_fence, probe={}, run='1f7c',
          clients=['validator1'], halted=[])).given.standby.because }}
"""

RETURN = r"""
_value:
  description:
    - C(probe), whether two pods have to try the lock; C(given), what the values of the release say of standbys;
      C(remake), StatefulSets that have to be made anew for it.
  type: dict
"""

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._standby import plan

Table = t.Mapping[str, t.Any]


def standby_plan(
    found: Table,
    *,
    wanted: bool,
    fence: Table,
    probe: Table,
    run: str,
    clients: t.Iterable[str],
    halted: t.Iterable[str],
) -> dict[str, t.Any]:
    """The plan, see the documentation."""
    return plan(found, wanted, fence, probe, run, list(clients), list(halted))._asdict()


class FilterModule:
    """Filters of the role prysm_helm."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"standby_plan": standby_plan}
