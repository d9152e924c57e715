#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_replace
short_description: Put another slashing-protection database in the place of a client's
version_added: 0.1.0
description:
  - Renames O(replacement) over O(database) while no validator client can open either. C(.validator-lock) and the locks
    of both files are held throughout, that of the old file for some seconds longer than a client waits for it.
  - Fails when any of the locks is held, while the NFS server does not know the locks of its clients (grace period), and
    when the replacement lacks anything of the database or of O(wants), belongs to another network, contradicts itself,
    is a link or on another file system.
  - Writes C(.validator-transaction) and C(.validator-version) anew for the new database. Nothing else ever lowers them.
  - Cut off at any moment, it leaves the old database, or the new one after it was proved; run again, it finishes.
  - The old database is gone afterwards. Keep a copy of it where one is wanted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  database:
    description:
      - The C(validator.db) of a client. It need not be there yet, as long as there has never been one.
    type: path
    required: true
  replacement:
    description:
      - The database to put there, on the same file system. When it is not there and O(database) already is what it
        should have become, nothing is changed. Required when O(state=present).
    type: path
  state:
    description:
      - With V(settled) nothing is put there. A replacement that was cut off is brought to its end when the database was
        moved already, and forgotten when it was not. Either way the database is a whole one, and no history is lost.
    type: str
    choices: [present, settled]
    default: present
  wants:
    description:
      - Further histories that the replacement must not fall behind, in any form that
        M(eth2xk8s.staking.slashing_protection_compare) knows.
    type: list
    elements: path
    default: []
  version:
    description:
      - The version of Prysm that has written the replacement, such as V(v7.1.6). Required when O(state=present).
    type: str
  layout:
    description:
      - How many changes of the layout of C(validator.db) that version knows (V(1) for v1.2.2, V(2) from v1.3.0).
        Required when O(state=present).
    type: int
  database_lost:
    description:
      - Accept that O(database) is missing, or an older copy, although there was a newer one. O(wants) must then name
        what is left of its history.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Use the database that the older version has written
  eth2xk8s.staking.slashing_protection_replace:
    database: /data/prysm/validator1/validator.db
    replacement: /data/prysm/validator1/.rollback/validator.db
    wants: [/data/prysm/validator1/.backup/validator.db]
    version: v1.2.2
    layout: 1

- name: Forget a replacement that was cut off, or bring it to its end
  eth2xk8s.staking.slashing_protection_replace:
    database: /data/prysm/validator1/validator.db
    state: settled
"""

RETURN = r"""
transaction:
  description: The number of the newest transaction of the database that is in the place now.
  returned: when O(state=present)
  type: int
  sample: 56
keys:
  description: How many keys it knows.
  returned: when O(state=present)
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._replace import (
    Request,
    is_cut_off,
    preview,
    replace,
    settle,
)


def _settle(module: AnsibleModule) -> None:
    """Bring a replacement that was cut off to its end, and end the module."""
    database = module.params["database"]
    try:
        module.exit_json(changed=is_cut_off(database) if module.check_mode else settle(database))
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "path", "required": True},
            "replacement": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "settled"], "default": "present"},
            "wants": {"type": "list", "elements": "path", "default": []},
            "version": {"type": "str"},
            "layout": {"type": "int"},
            "database_lost": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["replacement", "version", "layout"])],
        supports_check_mode=True,
    )
    params = module.params
    if params["state"] == "settled":
        _settle(module)
    request = Request(
        params["database"],
        params["replacement"],
        tuple(params["wants"]),
        params["version"],
        params["layout"],
        params["database_lost"],
    )
    try:
        outcome = (preview if module.check_mode else replace)(request)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**outcome._asdict())


if __name__ == "__main__":
    main()
