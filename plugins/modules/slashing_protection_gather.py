#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_gather
short_description: Put the histories that arrive with keys together for an import by Prysm
version_added: 0.1.0
description:
  - Reads slashing protection histories of any client (EIP-3076 interchange files, answers of a key manager, Prysm's own
    databases) and compares them with the database of a validator client. When that lacks anything, it writes one
    interchange file with all that the sources and the database know, to be imported into a new database.
  - The file never says less than any source. Records of one source below what another source forbids as a whole are
    left out, because Prysm forbids as a whole only what lies below the lowest record it is given; the lowest record of
    the file forbids what they forbid. It is written key by key, read back and compared with every source.
  - >-
    Records without a signing root get a made-up one, the text C(eth2xk8s: signing root not known). Prysm v4.2 and later
    refuse a key all its duties after they have met a record without a root twice. No message can have this root, so
    Prysm refuses every later message for that slot or target.
  - Blocks of more than 54,000 epochs before the newest, which Prysm drops as it imports, and votes of more than 512
    epochs before the newest become part of the lowest record.
  - Fails when a source is of another network, contradicts itself or another source about a key of the client, or cannot
    be read.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  sources:
    description: Files of any client, C(validator.db) files, or data directories of Prysm.
    type: list
    elements: path
    required: true
  pubkeys:
    description: The keys of the client. Other keys in the sources are left out.
    type: list
    elements: str
    required: true
  database:
    description:
      - The C(validator.db) of the client. It need not be there. All that it knows goes into the file, also of other
        keys.
    type: path
  dest:
    description: The file to write when something is lacking. Its directory must exist then.
    type: path
    required: true
  genesis_validators_root:
    description: The network that all of it must belong to. Without it, they must only agree.
    type: str
  known_by:
    description:
      - Further places that may know what a key has signed, such as the record of the site. They count for RV(without)
        only. One that is not there is passed over.
    type: list
    elements: path
    default: []
  owner:
    description: User id of the file.
    type: int
    default: 0
  group:
    description: Group id of the file.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Put together what arrives for validator1
  eth2xk8s.staking.slashing_protection_gather:
    sources:
      - /root/slashing_protection.json
    pubkeys: "{{ prysm_wallet_keys.validator1 }}"
    database: /data/prysm/validator1/validator.db
    dest: /data/prysm/validator1/.import/history.json
"""

RETURN = r"""
changed:
  description: Whether the database lacks anything, so that the file was written.
  returned: success
  type: bool
lacking:
  description: What the database lacks of the sources, by key.
  returned: success
  type: dict
  sample: {"0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07":
    ["highest slot none instead of 9000100"]}
without:
  description: Keys of the client of which neither a source nor the database nor O(known_by) says that they have signed.
  returned: success
  type: list
  elements: str
keys:
  description: How many keys the file has; 0 when none was written.
  returned: success
  type: int
  sample: 2
others:
  description: How many keys that are not the client's each source has.
  returned: success
  type: dict
  sample: {"/root/slashing_protection.json": 1}
running:
  description: Whether the lock of the database is held, so that the client runs.
  returned: success
  type: bool
genesis_validators_root:
  description: The network of the sources and the database; null when none says.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._arrivals import Request, gather
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import normalise_root
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all


def request_of(params: dict[str, t.Any]) -> Request:
    """The module's parameters as a request."""
    root = params["genesis_validators_root"]
    return Request(
        tuple(params["sources"]),
        tuple(normalise_all(params["pubkeys"])),
        params["database"],
        params["dest"],
        normalise_root(root) if root else None,
        tuple(params["known_by"]),
        params["owner"],
        params["group"],
    )


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "path", "required": True},
            "pubkeys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "database": {"type": "path"},
            "dest": {"type": "path", "required": True},
            "genesis_validators_root": {"type": "str"},
            "known_by": {"type": "list", "elements": "path", "default": []},
            "owner": {"type": "int", "default": 0},
            "group": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        found = gather(request_of(module.params), module.check_mode)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    for source, others in sorted(found.others.items()):
        if others and found.lacking:
            module.warn(f"{source} has histories of {others} keys that are not this client's; they are left out")
    module.exit_json(
        changed=bool(found.lacking),
        lacking=found.lacking,
        without=found.without,
        keys=len(found.keys),
        others=found.others,
        running=found.running,
        genesis_validators_root=found.genesis_validators_root,
    )


if __name__ == "__main__":
    main()
