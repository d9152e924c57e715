#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_identity
short_description: Bind a validator client's database, wallet and release by one identity
version_added: 0.1.0
description:
  - Gives the data directory and the wallet directory of each client one identity (a UUID in C(.validator-id)), once.
  - Fails when they carry different ones, or when the data directory has lost the one that the release or the wallet
    knows. An empty directory where a data disk should be mounted is told apart from a first start by that.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  clients:
    description: The validator clients.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the client.
        type: str
        required: true
      data_dir:
        description: Its data directory.
        type: path
        required: true
      wallet_dir:
        description: Its wallet directory.
        type: path
        required: true
      installed:
        description: The identity that its release was installed with; empty without a release.
        type: str
        default: ""
  adopt:
    description: Clients whose data directory is known to hold the newest database although it has lost its identity.
    type: list
    elements: str
    default: []
  owner:
    description: User ID of the files.
    type: int
    default: -1
  group:
    description: Group ID of the files.
    type: int
    default: -1
"""

EXAMPLES = r"""
- name: See that validator1 has its own data disk
  eth2xk8s.staking.validator_identity:
    clients:
      - name: validator1
        data_dir: /data/prysm/validator1
        wallet_dir: /data/prysm/wallet-validator1
    owner: 1001
    group: 2000
"""

RETURN = r"""
identities:
  description: The identity of each client; without those that check mode would only make.
  returned: success
  type: dict
  sample: {"validator1": "2c4f4f0e-2f43-4b3a-9a53-5d4d2b0b8f9e"}
"""

import uuid

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError, reason_of
from ansible_collections.eth2xk8s.staking.plugins.module_utils._identity import Client, look, write


def main() -> None:
    """Read the parameters, do the work, report."""
    client = {
        "name": {"type": "str", "required": True},
        "data_dir": {"type": "path", "required": True},
        "wallet_dir": {"type": "path", "required": True},
        "installed": {"type": "str", "default": ""},
    }
    module = AnsibleModule(
        argument_spec={
            "clients": {"type": "list", "elements": "dict", "required": True, "options": client},
            "adopt": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "int", "default": -1},
            "group": {"type": "int", "default": -1},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        decisions = {
            item["name"]: look(Client(**item), str(uuid.uuid4()), item["name"] in params["adopt"])
            for item in params["clients"]
        }
        if not module.check_mode:
            for decision in decisions.values():
                write(decision, params["owner"], params["group"])
    except StakingError as exc:
        module.fail_json(msg=f"Slashing risk: {exc}")
    except OSError as exc:
        module.fail_json(msg=f"An identity cannot be written: {exc.filename}: {reason_of(exc)}")
    module.exit_json(
        changed=any(decision.write for decision in decisions.values()),
        identities={
            name: decision.identity
            for name, decision in decisions.items()
            if not (module.check_mode and len(decision.write) == 2)
        },
    )


if __name__ == "__main__":
    main()
