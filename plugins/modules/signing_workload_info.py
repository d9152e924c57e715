#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_workload_info
short_description: Find everything in a cluster that can sign, with which wallet and which keys
version_added: 0.1.0
description:
  - Looks in every namespace at pods, at what starts pods, also when it is scaled to nothing, and at the values of Helm
    releases of this collection's chart.
  - Says for each validator client where its wallet and its database lie, and asks the running ones which keys they have
    by their metrics. Prysm keeps a deleted key in its metrics until it is restarted, so that is never too few.
  - Fails when the cluster, or the metrics of a running client, cannot be read.
  - Never changes anything.
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
options:
  kubeconfig:
    description: Path of the kubeconfig file.
    type: path
    required: true
  missing_ok:
    description: Whether a kubeconfig that is not there is reported by RV(exists), as a cluster that does not exist yet.
    type: bool
    default: false
  namespace:
    description: Namespace of the site; clients of other namespaces are called NAMESPACE/NAME.
    type: str
    default: prysm
  storage_hosts:
    description: Names and addresses of the machine that serves the site's data, as volumes name it.
    type: list
    elements: str
    default: []
  ignore:
    description: Clients, as NAMESPACE/NAME, that are known to have no key of this site, such as those of another chain.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for answers that may yet come.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Find every signer of the cluster
  eth2xk8s.staking.signing_workload_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    storage_hosts: [172.20.10.10]
  register: signers
"""

RETURN = r"""
exists:
  description: Whether there is a cluster.
  returned: success
  type: bool
  sample: true
workloads:
  description: Everything that can sign.
  returned: success
  type: list
  elements: dict
  contains:
    client:
      description: Name of the client.
      type: str
    where:
      description: The object, and the disks of its wallet and its database.
      type: str
    wallet:
      description: The wallet's directory on the storage host; null when it lies elsewhere.
      type: str
    data_dir:
      description: The same of its database.
      type: str
live:
  description: The keys of each client of which a pod runs.
  returned: success
  type: dict
  sample: {"validator1": ["0xa1..."]}
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils._cluster import CLUSTER_ARGUMENTS, Cluster, Never, NotYet
from ansible_collections.eth2xk8s.staking.plugins.module_utils._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils._metrics import MetricsError, duties
from ansible_collections.eth2xk8s.staking.plugins.module_utils._signers import Signer, released, signers, storage

_LISTS = {
    "Pod": "/api/v1/pods",
    "StatefulSet": "/apis/apps/v1/statefulsets",
    "Deployment": "/apis/apps/v1/deployments",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "CronJob": "/apis/batch/v1/cronjobs",
}
_HELM = {"labelSelector": "owner=helm,status=deployed"}


def find(cluster: Cluster, params: dict[str, t.Any]) -> list[Signer]:
    """Every signer of the cluster that is not to be ignored."""
    known = storage(
        params["storage_hosts"],
        cluster.items("/api/v1/persistentvolumeclaims"),
        cluster.items("/api/v1/persistentvolumes"),
    )
    found = [
        signer
        for kind, path in _LISTS.items()
        for item in cluster.items(path)
        for signer in signers(kind, item, params["namespace"], known)
    ]
    for secret in cluster.items("/api/v1/secrets", _HELM):
        found += released(secret, params["namespace"], known)
    return [
        signer for signer in found if f"{signer.namespace}/{signer.client.rpartition('/')[2]}" not in params["ignore"]
    ]


def keys_of(cluster: Cluster, signer: Signer) -> list[str]:
    """The keys a running pod has, as it says itself."""
    if signer.port is None:
        raise NotYet(f"{signer.namespace}/{signer.name} runs and says nothing of its keys: its metrics are off")
    try:
        return sorted(duties(cluster.metrics(signer.namespace, signer.name, signer.port)).keys)
    except MetricsError as exc:
        raise NotYet(f"the keys of {signer.namespace}/{signer.name}: {exc}") from exc


def look(cluster: Cluster, params: dict[str, t.Any]) -> dict[str, t.Any]:
    """One look at all of it."""
    found = find(cluster, params)
    live: dict[str, list[str]] = {}
    for signer in found:
        if signer.runs:
            live[signer.client] = sorted({*live.get(signer.client, []), *keys_of(cluster, signer)})
    workloads = [
        {
            "client": signer.client,
            "where": f"{signer.kind} {signer.namespace}/{signer.name} (wallet {signer.wallet.where}, "
            f"database {signer.data.where})",
            "wallet": signer.wallet.path,
            "data_dir": signer.data.path,
        }
        for signer in found
    ]
    return {"exists": True, "workloads": workloads, "live": live}


def main() -> None:
    """Read the parameters, look, report."""
    module = AnsibleModule(
        argument_spec={
            **CLUSTER_ARGUMENTS,
            "kubeconfig": {"type": "path", "required": True},
            "missing_ok": {"type": "bool", "default": False},
            "storage_hosts": {"type": "list", "elements": "str", "default": []},
            "ignore": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["missing_ok"] and not is_there(params["kubeconfig"]):
        module.exit_json(changed=False, exists=False, workloads=[], live={})
    deadline = time.monotonic() + params["timeout"]
    try:
        cluster = Cluster(params["kubeconfig"], params["context"])
        while True:
            try:
                module.exit_json(changed=False, **look(cluster, params))
            except NotYet as exc:
                if time.monotonic() >= deadline:
                    module.fail_json(msg=f"Who signs in this cluster cannot be read, so any key may be in use: {exc}")
            time.sleep(2)
    except (Never, StakingError) as exc:
        module.fail_json(msg=f"Who signs in this cluster cannot be read, so any key may be in use: {exc}")


if __name__ == "__main__":
    main()
