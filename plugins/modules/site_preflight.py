#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_preflight
short_description: Say everything that a site lacks, in one list
version_added: 0.1.0
description:
  - >-
    Without O(machines), reads the inventory's variables and the files that they name on the controller (keystores,
    passwords, histories): what is missing, and what cannot be read or decrypted. Values are never shown.
  - With O(machines), fails with everything that is missing, before any machine is changed.
  - Works on the controller; no machine is contacted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  fee_recipient:
    description: Whether this Prysm needs a fee recipient.
    type: bool
    default: true
  engine:
    description: Whether this Prysm needs the secret that it shares with the execution client.
    type: bool
    default: true
  table:
    description:
      - The version table, the chart's C(files/versions.yaml) on the controller. With it, whether O(version) follows the
        network is asked as well.
    type: path
  version:
    description: The release of Prysm.
    type: str
  untested:
    description: A release that the table does not know, and that is run all the same.
    type: str
  inventory:
    description: What an earlier call without O(machines) has found.
    type: list
    elements: str
    default: []
  machines:
    description: What was seen of each machine.
    type: dict
  named:
    description: What the inventory names on a machine (RV(on_nfs)), and which of these paths are there, by machine.
    type: dict
    default: {}
  needs:
    description: What each machine that may run a beacon node has found.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Read the inventory
  eth2xk8s.staking.site_preflight:
  register: inventory
  run_once: true
"""

RETURN = r"""
problems:
  description: What is missing in the inventory.
  returned: without O(machines)
  type: list
  elements: str
  sample: ["validator1 has no wallet_password (from Ansible Vault) or wallet_password_file"]
on_nfs:
  description: Files that entries name on the machine that stores the data, each as what it is and its path.
  returned: without O(machines)
  type: list
  elements: list
  sample: [["keystores of validator1", "/secure/validator_keys"]]
nfs_paths:
  description: Their paths, with wildcards escaped.
  returned: without O(machines)
  type: list
  elements: str
  sample: ["/secure/validator_keys"]
secret_readable:
  description: Whether the secret shared with the execution client can be read.
  returned: without O(machines)
  type: bool
  sample: true
"""
