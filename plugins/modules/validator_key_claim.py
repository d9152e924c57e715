#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_key_claim
short_description: Keep on record which client each validator key belongs to, and refuse a second one
version_added: 0.1.0
description:
  - To be called on the machine that has the site's record of signing (the NFS server) before keys are written into a
    wallet. Of two runs at a time that claim a key for two clients, one is refused.
  - The record is locked from before it is read until it is written and read back.
  - Fails, and claims nothing, when the record gives a key to another client. A claim passes on when the key has left
    that client (O(released), O(tombstones)), or when it is named in O(reassign).
  - Fails when a client runs with keys (O(live)) and its database is not where it belongs, as when the data disk is not
    mounted.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  record:
    description:
      - The file that holds the record. It and its directory (not that one's parent) are made when missing.
    type: path
    required: true
  witnesses:
    description: Further copies of the record on this machine, joined with it and raised with it.
    type: list
    elements: path
    default: []
  watch_config:
    description:
      - The configuration of this machine's history watcher. When it is there and names this O(record), the watcher's
        own copy is one of the O(witnesses).
    type: path
  records:
    description: Copies of the record from elsewhere, such as the one in the cluster.
    type: list
    elements: dict
    default: []
  claims:
    description: Public keys, by client.
    type: dict
    required: true
  released:
    description: Keys that have left a client for good.
    type: list
    elements: dict
    default: []
    suboptions:
      key:
        description: The public key.
        type: str
        required: true
      client:
        description: The client it has left; without it, this site.
        type: str
  tombstones:
    description:
      - Lists of tombstones, or directories of wallets that may have one; the keys there have left the client.
      - A client that is not declared any more is looked for below O(data_root).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file, or the wallet's directory.
        type: path
        required: true
      client:
        description: The client that the keys have left; without it, this site.
        type: str
  data_root:
    description:
      - The directory of the wallets. The tombstones in C(wallet-CLIENT) there count for every client that the record
        names.
    type: path
  reassign:
    description: Keys whose claim may pass to another client, also when a third one has them on record.
    type: list
    elements: str
    default: []
  live:
    description: Public keys of running clients, by client.
    type: dict
    default: {}
  data_dirs:
    description: The data directories of clients, by client.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Claim the keys before they are imported
  eth2xk8s.staking.validator_key_claim:
    record: /data/prysm/.history/record.json
    watch_config: /var/lib/eth2xk8s/history/config.json
    claims:
      validator1: ["0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07"]
"""

RETURN = r"""
changed:
  description: Whether a claim was new, or has moved.
  returned: success
  type: bool
claimed:
  description: Keys whose claim is new.
  returned: success
  type: list
  elements: str
moved:
  description: Keys whose claim has passed from another client.
  returned: success
  type: list
  elements: str
record:
  description: The whole record after this run.
  returned: success
  type: dict
refusals:
  description: What speaks against these claims.
  returned: failure
  type: list
  elements: str
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import (
    StakingError,
    is_directory,
    is_there,
    read_file,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._judge import lost_clients
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import (
    Record,
    claim,
    from_document,
    join,
    locked,
    to_document,
    witnesses_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys import _manifest
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise, normalise_all

_SHOWN = 5
_PLAIN_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

Released = t.Set[t.Tuple[str, t.Optional[str]]]


def _stones(path: str) -> list[str]:
    if not is_there(path):
        return []
    if is_directory(path):
        return [stone.pubkey for stone in _manifest.read_tombstones(path)]
    return [stone.pubkey for stone in _manifest.parse_tombstones(read_file(path, _manifest.LIMIT), path)]


def released(params: dict[str, t.Any], record: Record) -> Released:
    """Which keys have left which client."""
    found: Released = {(normalise(item["key"]), item["client"]) for item in params["released"]}
    for item in params["tombstones"]:
        found.update((key, item["client"]) for key in _stones(item["path"]))
    owners = {entry.client for entry in record.keys.values()} - {None, *params["claims"]}
    for owner in sorted(owner for owner in owners if owner is not None and _PLAIN_NAME.match(owner)):
        wallet = os.path.join(params["data_root"], f"wallet-{owner}") if params["data_root"] else ""
        if wallet and is_directory(wallet):
            found.update((key, owner) for key in _stones(wallet))
    return found


def claim_keys(params: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Claim under the record's lock; the result says what speaks against it."""
    claims = {str(client): normalise_all(keys) for client, keys in params["claims"].items()}
    given = [from_document(item, f"records[{i}]") for i, item in enumerate(params["records"])]
    witnesses = [*params["witnesses"], *witnesses_of(params["record"], params["watch_config"])]
    # Before anything is made in a directory that may only be where a disk belongs.
    refusals = lost_clients(params["live"], params["data_dirs"])
    if refusals:
        return {"changed": False, "refusals": refusals}
    with locked(params["record"], witnesses, make=not check) as copies:
        before = join(*copies.found.values(), *given)
        news, refusals = claim(before, claims, released(params, before), normalise_all(params["reassign"]))
        if refusals:
            return {"changed": False, "refusals": refusals}
        after = join(before, news)
        if not check:
            # Where a disk is not mounted, a new record would only be in the way.
            copies.write(after, make=copies.primary is not None or not before.keys)
    fresh = [key for key in news.keys if before.keys.get(key) is None or before.keys[key].client is None]
    return {
        "changed": bool(news.keys),
        "claimed": sorted(fresh),
        "moved": sorted(set(news.keys) - set(fresh)),
        "record": to_document(after),
        "refusals": [],
    }


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "record": {"type": "path", "required": True},
            "witnesses": {"type": "list", "elements": "path", "default": []},
            "watch_config": {"type": "path"},
            "records": {"type": "list", "elements": "dict", "default": []},
            "claims": {"type": "dict", "required": True},
            "released": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {"key": {"type": "str", "required": True, "no_log": False}, "client": {"type": "str"}},
            },
            "tombstones": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": {"type": "path", "required": True}, "client": {"type": "str"}},
            },
            "data_root": {"type": "path"},
            "reassign": {"type": "list", "elements": "str", "default": []},
            "live": {"type": "dict", "default": {}},
            "data_dirs": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        result = claim_keys(module.params, module.check_mode)
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc), refusals=[])
    lines = result["refusals"]
    if lines:
        more = f" | and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        module.fail_json(msg=f"Slashing risk: {' | '.join(lines[:_SHOWN])}{more}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
