#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: beacon_database_info
short_description: Say whether a beacon node has begun its database, and where from
version_added: 0.1.0
description:
  - >-
    A beacon node fetches a checkpoint at its first start alone; a database that has begun ignores the provider later.
    One that could not begin leaves a database without a block behind, so it is looked into, where it lies. Nothing is
    locked.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  path:
    description: The data directory of the beacon node.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: See whether this is a first start
  eth2xk8s.staking.beacon_database_info:
    path: /data/prysm/beacon
  register: database
"""

RETURN = r"""
begun:
  description:
    - V(none) where no beacon node has begun yet; V(genesis) or V(checkpoint) for where it began.
    - V(unknown) is a large database, which has begun and is not looked into.
  returned: success
  type: str
  sample: checkpoint
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._beacon_database import begun
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, begun=begun(module.params["path"]))
    except (StakingError, OSError) as exc:
        module.fail_json(msg=f"The beacon node's database cannot be read: {exc}")


if __name__ == "__main__":
    main()
