# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules that look at the chain have in common: its clock, and the head that must keep up with it."""

    DOCUMENTATION = r"""
notes:
  - The slot is counted on the machine on which the module runs, from genesis in slots of O(seconds_per_slot) seconds.
    Its clock must be right.
options:
  api_port:
    description:
      - Where the beacon node answers the beacon API, through the API server. Genesis, the length of a slot and the head
        are read there.
      - Where a network policy keeps the API server out, give O(genesis_time) and O(seconds_per_slot); the head is then
        read from the metrics, which know it from the first block after a start.
    type: int
    default: 3500
  genesis_time:
    description:
      - Genesis of the chain, in Unix seconds. V(0) reads it from the beacon node.
      - A beacon node that says another genesis follows another chain, and proves nothing.
    type: int
    default: 0
  seconds_per_slot:
    description: Length of a slot. V(0) reads it from the beacon node.
    type: float
    default: 0
  slots_per_epoch:
    description: Slots in an epoch of this chain.
    type: int
    default: 32
  head_slots_behind:
    description:
      - How many slots the head may be behind the clock. A dead execution client shows in nothing else - the node stays
        Ready, its keys attest to the old head.
      - V(0) is a quarter of an epoch, at least four and at least those of twelve seconds. V(-1) does not ask, for a
        private chain that stands still because all its keys belong to this site and wait.
    type: int
    default: 0
"""
