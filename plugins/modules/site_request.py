#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_request
short_description: Refuse a command that a playbook cannot do whole
version_added: 0.1.0
description:
  - Holds the options of the command (C(--limit), C(--tags), C(--skip-tags), C(--start-at-task), C(--step)), the groups
    of the inventory and the variables against what the playbook takes, before anything acts.
  - A variable that looks like one of this collection and is none is refused with the nearest name. Values are looked
    into only where the playbook's table has a form for them; those of other variables are neither read nor decrypted.
  - Works on the controller; no machine is contacted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  playbook:
    description: Which playbook, as C(playbooks/vars/requests.yml) calls it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Check the request
  eth2xk8s.staking.site_request:
    playbook: upgrade
  run_once: true
"""

RETURN = r"""
run:
  description: The number of this run of ansible-playbook.
  returned: success
  type: str
  sample: 5f0c9a7be21d
acts:
  description: Whether the playbook changes anything, and so takes the run lock.
  returned: success
  type: bool
  sample: true
playbooks:
  description: Where the collection's playbooks are on the controller.
  returned: success
  type: str
"""
