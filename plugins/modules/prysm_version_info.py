#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_version_info
short_description: Say what a Prysm version can do, and why it must not be run
version_added: 0.1.0
description:
  - Reads the chart's version table and answers the questions that roles and playbooks ask before they change anything.
  - Never fails for a refused version; the caller decides, with the reasons in RV(refusals).
  - Works on the controller, since the table is all that it reads; no machine is contacted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  table:
    description: The chart's C(files/versions.yaml), on the controller.
    type: path
    required: true
  version:
    description: The wanted release, such as V(v7.1.6).
    type: str
    required: true
  network:
    description: The network to follow.
    type: str
    required: true
  current:
    description: The release that is installed now; empty when there is none.
    type: str
    default: ""
  untested:
    description: A release that the table does not know, and that is run all the same.
    type: str
    default: ""
  now:
    description:
      - The moment that is asked about, such as V(2026-10-06T13:53:36Z) - or a date alone.
      - The controller's clock, when empty.
      - Networks fork. What follows one today may not tomorrow.
    type: str
    default: ""
  emergency:
    description:
      - Arguments of an emergency by program, V(beacon) and V(validator). They need not be among the table's allowed
        arguments.
    type: dict
    default: {}
  beacon_args:
    description: Arguments of the beacon node beyond the chart's, some of which change how long it takes to end.
    type: list
    elements: str
    default: []
  chain_config:
    description: Configuration of a private chain (O(network=custom)), which says what forks it is in.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Ask whether the wanted version can follow the network
  eth2xk8s.staking.prysm_version_info:
    table: "{{ playbook_dir }}/eth2prysm/files/versions.yaml"
    version: v1.3.4
    network: hoodi
  register: wanted
"""

RETURN = r"""
refusals:
  description: Reasons why this version must not be run for this network. Empty when it may.
  returned: success
  type: list
  elements: str
  sample: []
notes:
  description: What to know before running it, such as a fork ahead that it does not follow.
  returned: success
  type: list
  elements: str
  sample: []
move:
  description: V(install), V(same), V(upgrade) or V(downgrade), seen from O(current).
  returned: success
  type: str
  sample: upgrade
schema_up:
  description: Releases at which C(validator.db) changes its layout on the way up.
  returned: success
  type: list
  elements: str
  sample: []
schema_down:
  description: Releases over whose change of C(validator.db) this goes back.
  returned: success
  type: list
  elements: str
  sample: [v1.3.0]
layout:
  description: How many changes of the layout of C(validator.db) the wanted version knows.
  returned: success
  type: int
  sample: 2
order:
  description:
    - In which order a site moves from O(current), V(beacon_first) or V(validators_first) - or V(together), when no
      validator client may run while the beacon node moves.
  returned: success
  type: str
  sample: beacon_first
beacon_together:
  description: Whether RV(order) is V(together).
  returned: success
  type: bool
  sample: false
pair_refusal:
  description: Why the older validator clients cannot run on the newer beacon node; empty when they can.
  returned: success
  type: str
  sample: ""
beacon_database_incompatible:
  description: Whether the beacon node's own directory must be emptied for this move. C(validator.db) is never meant.
  returned: success
  type: bool
  sample: false
beacon_database_refusal:
  description: Why, and the variable that allows it; empty when RV(beacon_database_incompatible) is false.
  returned: success
  type: str
  sample: ""
genesis_time:
  description: Genesis of the network in Unix seconds; V(0) when only its beacon nodes know it.
  returned: success
  type: int
  sample: 1742213400
needs_checkpoint:
  description: Whether a beacon node without a database must be given a checkpoint or a genesis state for this network.
  returned: success
  type: bool
  sample: true
emergency_refusals:
  description: Why arguments in O(emergency) must not be given. Empty when they may.
  returned: success
  type: list
  elements: str
  sample: []
stop_seconds:
  description: Seconds that each program of the wanted version may take to end.
  returned: success
  type: dict
  sample: {"beacon": 60, "validator": 30}
images:
  description: The images of the wanted version.
  returned: success
  type: dict
  sample:
    beacon: gcr.io/offchainlabs/prysm/beacon-chain:v7.1.6
    validator: gcr.io/offchainlabs/prysm/validator:v7.1.6
features:
  description: Which of the table's features the wanted version has.
  returned: success
  type: dict
  sample: {"doppelganger": true}
"""
