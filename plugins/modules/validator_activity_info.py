#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_activity_info
short_description: Ask the chain which validator keys are active
version_added: 0.1.0
description:
  - Asks the release's beacon node, through the API server, for the status of validator keys. A key that is active signs
    somewhere, or has signed; it must not start without its history.
  - Waits for a beacon node that does not answer, is syncing, is optimistic or whose head is more than two epochs behind
    the clock, and fails when it stays so. What such a node does not know may well be active.
options:
  pubkeys:
    description: The keys to ask for.
    type: list
    elements: str
    required: true
  name:
    description: Name of the beacon node's StatefulSet; its pod is called NAME-0.
    type: str
    default: beacon
  version:
    description: The version of Prysm it runs. Before v2.0 Prysm has an API of its own.
    type: str
    required: true
  port:
    description: Where it serves its HTTP API.
    type: int
    default: 3500
  seconds_per_slot:
    description: Seconds in a slot of the chain.
    type: int
    default: 12
  slots_per_epoch:
    description: Slots in an epoch of the chain.
    type: int
    default: 32
  timeout:
    description: Seconds to wait for an answer that can be relied on.
    type: int
    default: 120
  interval:
    description: Seconds between questions.
    type: float
    default: 2
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: Ask whether keys without a history are active
  eth2xk8s.staking.validator_activity_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    version: v7.1.6
    pubkeys: "{{ prysm_wallet_keys.validator1 }}"
"""

RETURN = r"""
statuses:
  description:
    - The status of each key, by the names of the standard API; V(unknown) when the chain does not know the key.
  returned: success
  type: dict
  sample: {"0x9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07":
    active_ongoing}
active:
  description: The keys that have duties.
  returned: success
  type: list
  elements: str
current_slot:
  description: The slot by the clock, or the head's where that is later.
  returned: success
  type: int
  sample: 9000100
current_epoch:
  description: The epoch of that slot.
  returned: success
  type: int
  sample: 281253
genesis_time:
  description: When the chain began, in seconds since 1970.
  returned: success
  type: int
  sample: 1606824023
genesis_validators_root:
  description: The network.
  returned: success
  type: str
"""

import re
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history import _activity
from ansible_collections.eth2xk8s.staking.plugins.module_utils.keys._pubkey import normalise_all


def _short(exc: Exception) -> str:
    """Its words without the keys that the address of the question is full of."""
    return re.sub(r"\?\S*", "", str(exc))


def ask(cluster: Cluster, params: dict[str, t.Any], pubkeys: list[str]) -> dict[str, t.Any]:
    """One question; NotYet when the answer cannot be relied on."""
    pod = f"/api/v1/namespaces/{params['namespace']}/pods/{params['name']}-0:{params['port']}/proxy"
    try:
        api = _activity.api_of(params["version"], lambda path: cluster.get(pod + path))
        head = api.head()
        slot, problem = _activity.behind(head, time.time(), params["seconds_per_slot"], params["slots_per_epoch"])
        if problem:
            raise NotYet(problem)
        statuses = api.statuses(pubkeys)
    except _activity.ActivityError as exc:
        raise NotYet(str(exc)) from exc
    return {
        "statuses": statuses,
        "active": [key for key, status in statuses.items() if _activity.is_active(status)],
        "current_slot": slot,
        "current_epoch": slot // params["slots_per_epoch"],
        "genesis_time": head.genesis_time,
        "genesis_validators_root": head.genesis_validators_root,
    }


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "pubkeys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "name": {"type": "str", "default": "beacon"},
            "version": {"type": "str", "required": True},
            "port": {"type": "int", "default": 3500},
            "seconds_per_slot": {"type": "int", "default": 12},
            "slots_per_epoch": {"type": "int", "default": 32},
            "timeout": {"type": "int", "default": 120},
            "interval": {"type": "float", "default": 2},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    params = module.params
    start = time.monotonic()
    try:
        pubkeys = normalise_all(params["pubkeys"])
        cluster = Cluster(params["kubeconfig"], params["context"])
        while True:
            try:
                module.exit_json(changed=False, **ask(cluster, params, pubkeys))
            except NotYet as exc:
                if time.monotonic() - start >= params["timeout"]:
                    module.fail_json(
                        msg=f"The beacon node cannot say whether {len(pubkeys)} keys are active:"
                        f" {_short(exc)}. Keys without a history do not start before it can",
                    )
            time.sleep(params["interval"])
    except (Never, StakingError) as exc:
        module.fail_json(msg=f"The beacon node cannot be asked whether keys are active: {_short(exc)}")


if __name__ == "__main__":
    main()
