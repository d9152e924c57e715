#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_silence_info
short_description: Prove that validator clients have stopped
version_added: 0.1.0
description:
  - Waits until the API server has no such pod any more and the container runtime of every node, asked through its own
    kubelet, runs no container of it.
  - A node that cannot be asked counts as a node that still signs; the module then fails and names it.
  - Says nothing about processes outside of the cluster; the lock on C(validator.db) does, see
    M(eth2xk8s.staking.validator_lock_info).
options:
  clients:
    description: Names of the StatefulSets that must be silent.
    type: list
    elements: str
    required: true
  uids:
    description:
      - Only these pods have to be gone, by their UID, while a successor of the same name may exist already.
      - When empty, no pod of O(clients) may be left at all.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for the proof.
    type: int
    default: 300
  interval:
    description: Seconds between looks.
    type: float
    default: 1
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: See that validator1 runs nowhere
  eth2xk8s.staking.prysm_silence_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    clients: [validator1]
"""

RETURN = r"""
nodes:
  description: The nodes whose runtimes were asked.
  returned: success
  type: list
  elements: str
  sample: [master, worker]
left:
  description: What still runs, and where.
  returned: failure
  type: list
  elements: str
  sample: ["containers of validator1-0 on worker"]
unreadable:
  description: What could not be asked.
  returned: failure
  type: list
  elements: str
  sample: []
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._cluster import CLUSTER_ARGUMENTS, Cluster, Never, NotYet


def look(cluster: Cluster, namespace: str, names: set[str], uids: set[str]) -> dict[str, t.Any]:
    """What is left of the pods, by the API server and by each node's runtime."""
    seen: dict[str, t.Any] = {"nodes": [], "left": [], "unreadable": []}

    def counts(name: str, uid: str) -> bool:
        return uid in uids if uids else name in names

    try:
        for pod in cluster.pods(namespace):
            if counts(pod.name, pod.uid):
                seen["left"].append(f"pod {pod.name} on {pod.node or 'no node'}")
        seen["nodes"] = cluster.nodes()
    except NotYet as exc:
        seen["unreadable"].append(str(exc))
    for node in seen["nodes"]:
        try:
            for space, name, uid in cluster.running(node):
                if space == namespace and counts(name, uid):
                    seen["left"].append(f"containers of {name} on {node}")
        except NotYet as exc:
            seen["unreadable"].append(f"node {node}: {exc}")
    return seen


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "clients": {"type": "list", "elements": "str", "required": True},
            "uids": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 300},
            "interval": {"type": "float", "default": 1},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    params = module.params
    names = {f"{client}-0" for client in params["clients"]}
    deadline = time.monotonic() + params["timeout"]
    try:
        cluster = Cluster(params["kubeconfig"], params["context"])
        while True:
            seen = look(cluster, params["namespace"], names, set(params["uids"]))
            if not seen["left"] and not seen["unreadable"] and seen["nodes"]:
                module.exit_json(changed=False, **seen)
            if time.monotonic() >= deadline:
                words = [*seen["left"], *(f"cannot read {one}" for one in seen["unreadable"])]
                module.fail_json(
                    msg=f"Not proved silent within {params['timeout']} s: " + "; ".join(words or ["no node to ask"]),
                    **seen,
                )
            time.sleep(params["interval"])
    except Never as exc:
        module.fail_json(msg=f"Silence cannot be proved: {exc}", nodes=[], left=[], unreadable=[str(exc)])


if __name__ == "__main__":
    main()
