#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: slashing_protection_guard
short_description: Refuse to start a validator with less history than its keys have, and keep the record of it
version_added: 0.1.0
description:
  - To be called on the machine that has the databases (the NFS server) before any start of a validator client, and as
    often as you like beside running ones.
  - Keeps a record for the site of the highest slot, source and target each key has signed. The record is only ever
    raised.
  - Fails when a key of a client has a record and the client's C(validator.db) is missing, empty, older than the
    record or of another network; also when a database cannot be read, is Prysm's minimal (file) database, or when a
    key or a data directory is named for two clients.
  - A key without a record may start without a database. A key that signed elsewhere must bring its history first, by
    C(slashing_protection) of its entry of C(prysm_validators), which the role C(prysm_helm) imports before the start.
  - When it does not fail it adds the clients' keys, and what their databases know, to the record. What databases know
    is added even when it fails, since that only makes the record stricter, except from a database of another network.
  - The way out of a refusal is to bring the history back (a backup newer than the record, or an interchange file made
    from what is left), never to remove the record.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  record:
    description:
      - The file that holds the record. It and its directory (not that one's parent) are made when missing, closed to
        others.
    type: path
    required: true
  clients:
    description:
      - The clients about to start, or running.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the client, for messages.
        type: str
        required: true
      data_dir:
        description: Its data directory.
        type: path
        required: true
      pubkeys:
        description: Public keys in its wallet.
        type: list
        elements: str
        required: true
  genesis_validators_root:
    description:
      - The network all of it must belong to. Without it, the record's own, and without that, the first database's.
    type: str
  stopped:
    description:
      - Whether to fail also when somebody holds the lock on a database, because the client is meant to be stopped.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Refuse to start a validator that has lost its history
  eth2xk8s.staking.slashing_protection_guard:
    record: /data/prysm/.history/record.json
    clients:
      - name: validator1
        data_dir: /data/prysm/validator1
        pubkeys: "{{ prysm_wallet_keys.validator1 }}"
"""

RETURN = r"""
changed:
  description:
    - Whether a key was new to the record. That numbers of known keys rise is not a change; it happens by itself as
      validators sign.
  returned: always
  type: bool
refusals:
  description: What speaks against starting.
  returned: always
  type: list
  elements: dict
  contains:
    client:
      description: The client that must not start.
      type: str
    pubkey:
      description: The key it is about; null when it is about the whole client.
      type: str
    reason:
      description: Why.
      type: str
added:
  description: Keys that were new to the record.
  returned: always
  type: list
  elements: str
raised:
  description: Keys whose marks in the record went up.
  returned: always
  type: list
  elements: str
blacklisted:
  description: Keys, by client, that Prysm refuses all duties because of an import; they start, but do nothing.
  returned: always
  type: dict
locked:
  description: Who holds the lock on the database of a client, by client.
  returned: always
  type: dict
genesis_validators_root:
  description: The network of the record.
  returned: always
  type: str
keys:
  description: The record after this run.
  returned: always
  type: dict
  sample:
    "0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07":
      slot: 100
      source: 11
      target: 12
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils._pubkey import normalise_all
from ansible_collections.eth2xk8s.staking.plugins.module_utils._record import (
    Client,
    Record,
    join,
    judge,
    normalise_root,
    raise_record,
    read_record,
)

_SHOWN = 5


def guard(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Judge, and raise the record; the result says whether it failed."""
    clients = [
        Client(item["name"], item["data_dir"], tuple(normalise_all(item["pubkeys"]))) for item in params["clients"]
    ]
    root = params["genesis_validators_root"]
    path = params["record"]
    verdict = judge(read_record(path), clients, None if root is None else normalise_root(root), params["stopped"])
    news = verdict.news
    if verdict.refusals:
        # A key is on record once it may start, or has signed.
        news = Record(
            news.genesis_validators_root,
            {key: marks for key, marks in news.keys.items() if any(m is not None for m in marks)},
        )
    if check:
        before = read_record(path)
        after = join(before, news)
        missing = not is_there(path)
    else:
        missing = not is_there(path)
        before, after = raise_record(path, news)
    added = sorted(set(after.keys) - set(before.keys))
    return {
        "changed": bool(added) or missing,
        "refusals": [refusal._asdict() for refusal in verdict.refusals],
        "added": added,
        "raised": sorted(key for key, marks in after.keys.items() if key in before.keys and before.keys[key] != marks),
        "blacklisted": verdict.blacklisted,
        "locked": verdict.locked,
        "genesis_validators_root": after.genesis_validators_root,
        "keys": {key: marks._asdict() for key, marks in sorted(after.keys.items())},
    }


def complaint(refusals: list[dict[str, t.Any]]) -> str:
    """What speaks against starting, in one message."""
    lines = [f"{item['client']}: {item['pubkey'] + ' ' if item['pubkey'] else ''}{item['reason']}" for item in refusals]
    more = f" | and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "Slashing risk: " + " | ".join(lines[:_SHOWN]) + more


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "record": {"type": "path", "required": True},
            "clients": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "data_dir": {"type": "path", "required": True},
                    "pubkeys": {"type": "list", "elements": "str", "required": True, "no_log": False},
                },
            },
            "genesis_validators_root": {"type": "str"},
            "stopped": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = guard(module.params, module.check_mode)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc), refusals=[])
    for client, keys in result["blacklisted"].items():
        module.warn(f"Prysm refuses all duties of {len(keys)} keys of {client} because of an import: {', '.join(keys)}")
    if result["refusals"]:
        module.fail_json(msg=complaint(result["refusals"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
