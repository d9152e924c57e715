#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_duty_gap
short_description: Wait for a time between two duties of validator keys
version_added: 0.1.0
description:
  - Reads from the metrics of running validator clients when their keys attest and propose, and returns at a moment when
    none of them has a duty for O(seconds). A client that is stopped then, and runs again in time, misses nothing.
  - Returns at once where there is no use in waiting - no client runs, a key is in a sync committee, the release does
    not say when its keys have duties (before v1.3.4), or this epoch has no gap of that length, as with many keys.
  - Never fails for want of a gap. What follows goes on, and costs what it costs; RV(gap) and RV(problem) say so.
options:
  clients:
    description: Names of the validator clients.
    type: list
    elements: str
    required: true
  seconds:
    description: How long none of their keys may have a duty. V(0) waits for nothing.
    type: float
    required: true
  timeout:
    description: Seconds to wait at most.
    type: float
    default: 800
  beacons:
    description: Names of the beacon nodes' StatefulSets, of which one is asked for the chain's clock.
    type: list
    elements: str
    default: [beacon]
  metrics_port:
    description: Where validator clients serve metrics.
    type: int
    default: 8081
  beacon_metrics_port:
    description: Where the beacon node serves metrics.
    type: int
    default: 8080
  interval:
    description: Seconds between looks.
    type: float
    default: 1
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
  - eth2xk8s.staking.chain
"""

EXAMPLES = r"""
- name: Wait until nothing is due for a minute
  eth2xk8s.staking.validator_duty_gap:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    clients: [validator1]
    seconds: 60
"""

RETURN = r"""
found:
  description: Whether there is a gap of that length now.
  returned: always
  type: bool
  sample: true
gap:
  description: Seconds until the next duty that has to be expected.
  returned: always
  type: float
  sample: 96.4
waited:
  description: Seconds that were waited.
  returned: always
  type: float
  sample: 41.0
problem:
  description: Why there is none; empty where there is.
  returned: always
  type: str
  sample: ""
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
    client_of,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._beacon import Beacons
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import CHAIN_ARGUMENTS
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._gap import Gap, Schedule, gap, schedule
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._metrics import MetricsError

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "clients": {"type": "list", "elements": "str", "required": True},
    "seconds": {"type": "float", "required": True},
    "timeout": {"type": "float", "default": 800},
    "beacons": {"type": "list", "elements": "str", "default": ["beacon"]},
    "metrics_port": {"type": "int", "default": 8081},
    "beacon_metrics_port": {"type": "int", "default": 8080},
    "interval": {"type": "float", "default": 1},
    **CHAIN_ARGUMENTS,
    **CLUSTER_ARGUMENTS,
}


class Clients:
    """Running validator clients, asked again and again for their schedules."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self._cluster = cluster
        self._params = params
        self._beacons = Beacons(cluster, params["beacons"], params, params["beacon_metrics_port"])

    def gap(self) -> tuple[Gap, float]:
        """The gap that begins now, and the seconds of a slot; NotYet or MetricsError where that cannot be read."""
        schedules = self._schedules()
        if not schedules:
            return Gap(0, False, "no client runs"), 1
        clock, why = self._beacons.clock()
        if clock is None:
            raise NotYet(why)
        # As a fraction: a slot that has begun is not all there any more.
        now = (time.time() - clock.genesis) / clock.seconds_per_slot
        wanted = self._params["seconds"] / clock.seconds_per_slot
        return gap(schedules, max(now, 0), self._params["slots_per_epoch"], wanted), clock.seconds_per_slot

    def _schedules(self) -> list[Schedule]:
        pods = self._cluster.pods(self._params["namespace"])
        found = (client_of(pods, name).pod for name in self._params["clients"])
        return [
            schedule(self._cluster.metrics(self._params["namespace"], pod.name, self._params["metrics_port"]))
            for pod in found
            if pod is not None and pod.started and not pod.terminating
        ]


def wait(clients: Clients, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Look until there is a gap, or none is to be expected."""
    begun = time.monotonic()
    while True:
        try:
            seen, seconds_per_slot = clients.gap()
        except (NotYet, MetricsError) as exc:
            seen, seconds_per_slot = Gap(0, False, str(exc)), 1
        free = seen.slots * seconds_per_slot
        found = free >= params["seconds"]
        waited = time.monotonic() - begun
        if found or not seen.hope or waited >= params["timeout"]:
            problem = seen.problem or f"its keys have a duty within {params['seconds']:g} s, whenever it is"
            return {
                "found": found,
                "gap": round(free, 1),
                "waited": round(waited, 1),
                "problem": "" if found else problem,
            }
        time.sleep(params["interval"])


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if params["seconds"] <= 0 or module.check_mode:
        module.exit_json(changed=False, found=True, gap=0.0, waited=0.0, problem="")
    try:
        found = wait(Clients(Cluster(params["kubeconfig"], params["context"]), params), params)
    except Never as exc:
        module.fail_json(msg=f"The schedules of the clients cannot be read: {exc}", found=False)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
