#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: beacon_health
short_description: Wait until the beacon node is of use, at the wanted version
version_added: 0.1.0
description:
  - Waits until the beacon node's pod is Ready (its own health check, which includes being synced), the running process
    says that it is the wanted version, and its head keeps up with the chain's clock. A node whose execution client is
    dead stays Ready; only its head tells.
  - Fails with the reason when that does not happen in time; early when its image cannot be had, and at once, with its
    last words, when it keeps ending.
options:
  name:
    description: Name of the StatefulSet; its pod is called NAME-0.
    type: str
    default: beacon
  others:
    description:
      - Names of the release's other beacon nodes. No two of them are on one node. Where no node takes this one's pod,
        one of the others that is of use will do.
    type: list
    elements: str
    default: []
  version:
    description: The release that must be running; empty to accept any.
    type: str
    default: ""
  clients:
    description: Validator clients beside it. One that keeps ending, or refuses to start, ends the wait, too.
    type: list
    elements: str
    default: []
  metrics_port:
    description: Where it serves metrics.
    type: int
    default: 8080
  wait:
    description: Whether to wait, and fail when it does not come. Otherwise only report.
    type: bool
    default: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 3600
  timeout_variable:
    description: The variable that says how long is waited, as a message names it.
    type: str
    default: prysm_helm_beacon_timeout
  image_timeout:
    description: Seconds to wait for an image that cannot be pulled.
    type: int
    default: 60
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
- name: Wait for the beacon node
  eth2xk8s.staking.beacon_health:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    version: v7.1.6
"""

RETURN = r"""
ready:
  description: Whether it is of use, at the wanted version.
  returned: always
  type: bool
  sample: true
unscheduled:
  description: Whether it waits for a node to take it, while another beacon node is of use.
  returned: always
  type: bool
  sample: false
problem:
  description: What stands in the way; empty when nothing does.
  returned: always
  type: str
  sample: ""
version:
  description: The running version.
  returned: always
  type: str
  sample: v7.1.6
slot:
  description: The slot by the chain's clock; none when that could not be read or the chain has not begun.
  returned: always
  type: int
  sample: 1235
head_slot:
  description: The slot of its head, if it could be read.
  returned: always
  type: int
  sample: 1234
hopeless:
  description: Whether waiting longer is pointless.
  returned: always
  type: bool
  sample: false
node:
  description: Where it runs.
  returned: always
  type: str
  sample: worker
image:
  description: Its image.
  returned: always
  type: str
  sample: gcr.io/offchainlabs/prysm/beacon-chain:v7.1.6
restarts:
  description: How often its container was restarted.
  returned: always
  type: int
  sample: 0
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Crashes,
    Never,
    NotYet,
    Pod,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm import _metrics
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._beacon import (
    Beacons,
    Place,
    is_unscheduled,
    look,
    not_running,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.prysm._chain import CHAIN_ARGUMENTS, Chain


class Look:
    """Looks at the beacon node again and again."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self._cluster = cluster
        self._params = params
        self._chain = Chain(cluster, params["name"], params, params["metrics_port"])
        others = params["others"]
        self._others = Beacons(cluster, others, params, params["metrics_port"]) if others else None
        self._crashes = Crashes()

    def once(self) -> dict[str, t.Any]:
        """One look."""
        seen: dict[str, t.Any] = {
            "ready": False,
            "unscheduled": False,
            "problem": "",
            "hopeless": False,
            "version": "",
            "slot": None,
            "head_slot": None,
            "node": "",
            "image": "",
            "restarts": 0,
        }
        try:
            pods = {pod.name: pod for pod in self._cluster.pods(self._params["namespace"])}
            name = f"{self._params['name']}-0"
            pod = pods.get(name)
            seen["problem"] = not_running(pod, name)
            if pod is not None:
                self._beacon(seen, pod)
            if is_unscheduled(pod) and self._others is not None and not self._others.any().problem:
                seen.update(unscheduled=True, problem="")
            self._clients(seen, pods)
        except (NotYet, _metrics.MetricsError) as exc:
            seen["problem"] = str(exc)
        seen["ready"] = not seen["problem"]
        return seen

    def _beacon(self, seen: dict[str, t.Any], pod: Pod) -> None:
        seen.update(node=pod.node, image=pod.image, restarts=pod.restarts)
        if not (pod.started or pod.terminating):
            seen["hopeless"] = pod.hopeless or self._crashes.again(pod)
        if seen["problem"]:
            return
        place = Place(self._cluster, self._params["namespace"], self._params["metrics_port"])
        found = look(place, pod, self._chain, self._params["version"])
        seen.update(version=found.version, slot=found.view.slot, head_slot=found.view.head, problem=found.view.problem)

    def _clients(self, seen: dict[str, t.Any], pods: dict[str, Pod]) -> None:
        for name in self._params["clients"]:
            pod = pods.get(f"{name}-0")
            if pod is None or pod.terminating or pod.started:
                continue
            if pod.hopeless or self._crashes.again(pod):
                seen["problem"] = f"{seen['problem']}. {name}: {pod.problem}".lstrip(". ")
                seen["hopeless"] = True


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "beacon"},
            "others": {"type": "list", "elements": "str", "default": []},
            "version": {"type": "str", "default": ""},
            "clients": {"type": "list", "elements": "str", "default": []},
            "metrics_port": {"type": "int", "default": 8080},
            "wait": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 3600},
            "timeout_variable": {"type": "str", "default": "prysm_helm_beacon_timeout"},
            "image_timeout": {"type": "int", "default": 60},
            "interval": {"type": "float", "default": 1},
            **CHAIN_ARGUMENTS,
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    params = module.params
    start = time.monotonic()
    try:
        look = Look(Cluster(params["kubeconfig"], params["context"]), params)
        while True:
            seen = look.once()
            if seen["ready"] or not params["wait"]:
                module.exit_json(changed=False, **seen)
            waited = time.monotonic() - start
            no_image = "Image" in seen["problem"].partition(":")[0]
            if seen["hopeless"] or waited >= params["timeout"] or (no_image and waited >= params["image_timeout"]):
                called = f" {params['name']}" if params["others"] else ""
                late = waited >= params["timeout"]
                more = f". Longer is waited with -e {params['timeout_variable']}=SECONDS" if late else ""
                module.fail_json(
                    msg=f"The beacon node{called} is not healthy after {waited:.0f} s: {seen['problem']}{more}",
                    **seen,
                )
            time.sleep(params["interval"])
    except Never as exc:
        module.fail_json(msg=f"The beacon node cannot be read: {exc}", ready=False, problem=str(exc))


if __name__ == "__main__":
    main()
