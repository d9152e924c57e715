#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_first_starts
short_description: Decide whether validator keys without a history may start
version_added: 0.1.0
description:
  - To be called on the machine that has the site's record of signing. Remembers, in a file beside it, what the chain
    has said of keys of which no history is known.
  - Without O(chain) it says which keys the chain must be asked about, and which clients must still wait.
  - With O(chain) it fails when a key is active and O(because) does not name it. Other keys may start; they have no
    duties yet, or none any more. For an active key that O(because) names it writes a history, C(floor-CLIENT.json)
    beside the file, which forbids everything up to now, and its client waits for two epochs.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes.no_diff
options:
  path:
    description: The file that remembers. It and its directory (not that one's parent) are made when missing.
    type: path
    required: true
  clients:
    description: Public keys of the site, by client.
    type: dict
    required: true
  unknown:
    description:
      - Of them, by client, those of which nothing is known, as M(eth2xk8s.staking.slashing_protection_gather) returns
        them in C(without).
    type: dict
    default: {}
  running:
    description:
      - Clients that run. Only their keys need not be asked about again; a key of a client that was stopped may have
        been used elsewhere meanwhile.
    type: list
    elements: str
    default: []
  because:
    description: Why keys may start although they are active and their history is lost, by public key.
    type: raw
    default: {}
  chain:
    description: What M(eth2xk8s.staking.validator_activity_info) has returned.
    type: dict
  seconds_per_slot:
    description: Seconds in a slot of the chain.
    type: int
    default: 12
  slots_per_epoch:
    description: Slots in an epoch of the chain.
    type: int
    default: 32
"""

EXAMPLES = r"""
- name: See which keys the chain must be asked about
  eth2xk8s.staking.validator_first_starts:
    path: /data/prysm/.history/first-starts.json
    clients: "{{ prysm_wallet_keys }}"
    unknown: {validator1: "{{ arrival.without }}"}
  register: starts
"""

RETURN = r"""
ask:
  description: Keys, by client, that the chain must be asked about. Empty once it has been.
  returned: success
  type: dict
floored:
  description: Clients that have a history to import now, because an active key starts without its own.
  returned: success
  type: list
  elements: str
wait:
  description: Seconds, by client, until it may start.
  returned: success
  type: dict
  sample: {validator1: 768}
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _first_starts
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._first_starts import (
    Chain,
    Clock,
    FirstStartError,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import normalise_root
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise, normalise_all


def _by_client(given: dict[str, t.Any]) -> dict[str, list[str]]:
    return {str(client): normalise_all(keys) for client, keys in given.items()}


def _chain(given: dict[str, t.Any]) -> Chain:
    try:
        statuses = {normalise(key): str(status) for key, status in given["statuses"].items()}
        root = normalise_root(given["genesis_validators_root"])
        return Chain(statuses, int(given["current_slot"]), int(given["genesis_time"]), root)
    except (KeyError, AttributeError, TypeError, ValueError) as exc:
        raise FirstStartError(f"chain is not what validator_activity_info returns: {exc!r}") from exc


def decide(params: dict[str, t.Any], pretend: bool, now: float) -> dict[str, t.Any]:
    """What must be asked, or what follows from the answers."""
    clients, unknown = _by_client(params["clients"]), _by_client(params["unknown"])
    site = {key for keys in clients.values() for key in keys}
    wrong = _first_starts.faults(params["because"], site)
    if wrong:
        raise FirstStartError(". ".join(wrong))
    path = params["path"]
    starts = _first_starts.read(path)
    ask = _first_starts.to_ask(starts, unknown, params["running"])
    changed, floored = False, []
    if ask and params["chain"] is not None:
        chain = _chain(params["chain"])
        because = {normalise(key): reason for key, reason in params["because"].items()}
        asked = [key for keys in ask.values() for key in keys]
        clock = Clock(params["seconds_per_slot"], params["slots_per_epoch"])
        starts = _first_starts.answered(starts, asked, chain, because, clock)
        # First what must be waited for: cut off after it, the history is written by the next run.
        changed = pretend or _first_starts.put(path, _first_starts.render(starts))
        for client, keys in ask.items():
            if any(starts[key].not_before is not None for key in keys):
                floored.append(client)
                data = _first_starts.floor(starts, clients[client], chain.genesis_validators_root)
                if data is not None and not pretend:
                    _first_starts.put(os.path.join(os.path.dirname(path), f"floor-{client}.json"), data)
        ask = {}
    return {
        "changed": changed,
        "ask": ask,
        "floored": floored,
        "wait": _first_starts.waiting(starts, clients, now),
    }


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "clients": {"type": "dict", "required": True},
            "unknown": {"type": "dict", "default": {}},
            "running": {"type": "list", "elements": "str", "default": []},
            "because": {"type": "raw", "default": {}},
            "chain": {"type": "dict"},
            "seconds_per_slot": {"type": "int", "default": 12},
            "slots_per_epoch": {"type": "int", "default": 32},
        },
        supports_check_mode=True,
    )
    try:
        result = decide(module.params, module.check_mode, time.time())
    except (StakingError, OSError) as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
