#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_wallet_info
short_description: Report which keys a Prysm wallet holds, and which have left it
version_added: 0.1.0
description:
  - Reads the keys by the manifest beside the wallet, if it belongs to this very file, and else by decrypting the
    wallet.
  - Fails when neither is possible. A wallet that is not there is reported by RV(exists).
  - Never changes anything.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  wallet_dir:
    description: The wallet directory.
    type: path
    required: true
  wallet_password:
    description: Password of the wallet, for when there is no manifest that belongs to it.
    type: str
  wallet_password_file:
    description: File on the target with the password.
    type: path
"""

EXAMPLES = r"""
- name: See which keys validator1 has
  eth2xk8s.staking.prysm_wallet_info:
    wallet_dir: /data/prysm/wallet-validator1
  register: wallet
"""

RETURN = r"""
exists:
  description: Whether there is a wallet.
  returned: success
  type: bool
  sample: true
pubkeys:
  description: Every public key in it.
  returned: success
  type: list
  elements: str
  sample: ["0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"]
read:
  description: How it was read, by V(manifest) or by V(password); null when there is none.
  returned: success
  type: str
  sample: manifest
tombstones:
  description: Keys that have left it.
  returned: success
  type: list
  elements: dict
  contains:
    pubkey:
      description: The public key.
      type: str
    removed:
      description: When.
      type: str
    reason:
      description: Why.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._params import secret, secret_arguments
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._manifest import read_tombstones
from ansible_collections.eth2xk8s.staking.plugins.module_utils.signers._uniqueness import WalletEntry, read_wallet


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "wallet_dir": {"type": "path", "required": True},
            **secret_arguments("wallet_password"),
        },
        mutually_exclusive=[("wallet_password", "wallet_password_file")],
        supports_check_mode=True,
    )
    path = module.params["wallet_dir"]
    try:
        content = read_wallet(WalletEntry(path, None, secret(module.params, "wallet_password")))
        stones = read_tombstones(path)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(
        changed=False,
        exists=content is not None,
        pubkeys=[] if content is None else list(content.pubkeys),
        read=None if content is None else content.read,
        tombstones=[stone._asdict() for stone in stones],
    )


if __name__ == "__main__":
    main()
