#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prysm_release_info
short_description: Read the Helm release of Prysm and its workloads
version_added: 0.1.0
description:
  - Reads in one go what Helm recorded of the release, its StatefulSets and their pods, and which of these are not of
    the newest specification.
  - Waits until the controllers have seen the newest specification, because what they say before is about an older one.
  - Helm itself is not run, and no secrets are returned.
  - Compares what is there with the manifest that Helm has installed, and says what was edited by hand since.
  - Compares the Secrets that the pods mount with what they should hold, and returns only names of those that differ.
options:
  release:
    description: Name of the release.
    type: str
    default: eth2prysm
  secrets:
    description: What Secrets should hold - name of the Secret, name in it, text.
    type: dict
    default: {}
  history:
    description:
      - Whether to read the copy of the record of signing as well, which spares a task
        M(eth2xk8s.staking.slashing_protection_witness).
    type: bool
    default: false
  revisions:
    description: Whether to return the version of each revision that Helm still has on record.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for the API server and the controllers.
    type: int
    default: 60
  interval:
    description: Seconds between looks.
    type: float
    default: 1
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
  - eth2xk8s.staking.cluster
"""

EXAMPLES = r"""
- name: Read what is installed
  eth2xk8s.staking.prysm_release_info:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
  register: found
"""

RETURN = r"""
cluster:
  description: Whether there is a kubeconfig. Nothing else is known without one.
  returned: always
  type: bool
  sample: true
namespace:
  description: Whether the namespace exists.
  returned: always
  type: bool
  sample: true
status:
  description: What Helm calls the newest revision; empty without a release.
  returned: always
  type: str
  sample: deployed
revision:
  description: Number of the newest revision; 0 without a release.
  returned: always
  type: int
  sample: 3
values:
  description: The values it was made with.
  returned: always
  type: dict
  sample: {"image": {"version": "v7.1.6"}}
unfinished:
  description:
    - Names of the Secrets to remove before Helm is run again, because of attempts that never finished.
    - All of them, when no revision is whole.
  returned: always
  type: list
  elements: str
  sample: []
edited:
  description: What was edited by hand of StatefulSets, ConfigMaps and NetworkPolicies, by kind and name.
  returned: always
  type: dict
  sample: {"StatefulSet validator1": ["spec.template.spec.containers[validator].args has '--verbosity=debug'"]}
unmerged:
  description:
    - The same, of what Helm has left otherwise (ports of TCP and UDP with one number), and of what was deleted.
  returned: always
  type: dict
  sample: {}
wanted:
  description: The objects in RV(edited) and RV(unmerged) as Helm has installed them.
  returned: always
  type: list
  elements: dict
  sample: []
recorded:
  description: Whether Helm has a record of what is there.
  returned: always
  type: bool
  sample: true
history:
  description: The copy of the record of signing that M(eth2xk8s.staking.slashing_protection_witness) keeps.
  returned: with O(history), where there is a cluster
  type: dict
versions:
  description: With O(revisions) the version of Prysm of each revision that Helm has on record, by its number.
  returned: always
  type: dict
  sample: {"1": "v7.1.5", "2": "v7.1.6"}
differing_secrets:
  description: Names in O(secrets) that are missing or hold something else.
  returned: always
  type: list
  elements: str
  sample: []
node_addresses:
  description:
    - Addresses of the nodes, and of their ends of the pod network's tunnels, from which the API server's proxy reaches
      pods.
  returned: always
  type: list
  elements: str
  sample: [10.1.0.0, 172.20.10.11, 172.20.10.12]
pods_per_client:
  description: How many pods a client has by RV(values); two where there is a standby.
  returned: always
  type: int
  sample: 1
workloads:
  description: The release's StatefulSets by name; of two pods, the one that is Ready, and so signs.
  returned: always
  type: dict
  sample:
    validator1:
      replicas: 1
      policy: OrderedReady
      settled: true
      pod: 6a2d3c3e-7f0f-4a6e-9d6c-0d9c4a1f9a55
      node: worker
      stale: false
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster import _live, _release
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import (
    CLUSTER_ARGUMENTS,
    Cluster,
    Never,
    NotYet,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import StakingError, is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._cluster_history import copies, whole
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._record import to_document

NOTHING: dict[str, t.Any] = {
    "cluster": False,
    "namespace": False,
    "status": "",
    "revision": 0,
    "values": {},
    "unfinished": [],
    "edited": {},
    "unmerged": {},
    "wanted": [],
    "recorded": True,
    "differing_secrets": [],
    "node_addresses": [],
    "pods_per_client": 1,
    "workloads": {},
    "versions": {},
}


def copy_of_the_record(cluster: Cluster, namespace: str) -> dict[str, t.Any]:
    """What slashing_protection_witness has kept in the cluster; an empty record where there is none."""
    return to_document(whole(copies(cluster.items(f"/api/v1/namespaces/{namespace}/configmaps"))))


def look(
    cluster: Cluster, namespace: str, release: str, secrets: dict[str, dict[str, str]], *, revisions: bool = False
) -> dict[str, t.Any]:
    """One look at everything."""
    space = f"/namespaces/{namespace}"
    found = cluster.items("/api/v1/namespaces", {"fieldSelector": f"metadata.name={namespace}"})
    readers = _release.addresses(cluster.items("/api/v1/nodes"))
    if not found:
        return {**NOTHING, "cluster": True, "differing_secrets": sorted(secrets), "node_addresses": readers}
    path = f"/api/v1{space}/secrets"
    kept = _release.records(cluster.items(path, {"labelSelector": f"owner=helm,name={release}"}))
    mounted = cluster.items(path, {"labelSelector": f"app.kubernetes.io/part-of={release}"}) if secrets else []
    label = {"labelSelector": f"app.kubernetes.io/instance={release}"}
    pods = cluster.items(f"/api/v1{space}/pods", label)
    newest = _release.newest(kept)
    sets = cluster.items(f"/apis/apps/v1{space}/statefulsets", label)
    manifests = [_release.manifest(record) for record in _release.installed(kept)]
    live = [{**one, "kind": "StatefulSet"} for one in sets] if manifests else []
    if manifests:
        live += [{**one, "kind": "ConfigMap"} for one in cluster.items(f"/api/v1{space}/configmaps", label)]
        policies = cluster.items(f"/apis/networking.k8s.io/v1{space}/networkpolicies", label)
        live += [{**one, "kind": "NetworkPolicy"} for one in policies]
    edited = _live.edited(manifests, live)
    if newest:
        values = _release.values(newest)
    else:
        values = _release.from_objects(sets, cluster.items("/api/v1/persistentvolumes", label)) if sets else {}
    return {
        "cluster": True,
        "namespace": True,
        "node_addresses": readers,
        "status": newest.status if newest else "",
        "revision": newest.revision if newest else 0,
        "values": values,
        "edited": edited.by_hand,
        "unmerged": edited.unmerged,
        "wanted": [
            one
            for one in (manifests or [[]])[-1]
            if f"{one['kind']} {one['metadata']['name']}" in {**edited.by_hand, **edited.unmerged}
        ],
        "recorded": newest is not None or not sets,
        "unfinished": _release.unfinished(kept),
        "differing_secrets": _release.differing(secrets, mounted),
        "pods_per_client": _release.pods_per_client(values),
        "versions": _release.versions(kept) if revisions else {},
        "workloads": {one["metadata"]["name"]: _release.workload(one, pods) for one in sets},
    }


def wait(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Look until the controllers have seen everything; NotYet when they do not in time."""
    deadline = time.monotonic() + params["timeout"]
    cluster = Cluster(params["kubeconfig"], params["context"])
    while True:
        try:
            place = params["namespace"], params["release"]
            found = look(cluster, *place, params["secrets"], revisions=params["revisions"])
            if params["history"]:
                found["history"] = copy_of_the_record(cluster, params["namespace"])
            late = [name for name, one in found["workloads"].items() if not one["settled"]]
            if not late:
                return found
            problem = NotYet(f"the StatefulSet controller has not seen the newest {', '.join(late)}")
        except NotYet as exc:
            problem = exc
        if time.monotonic() >= deadline:
            raise NotYet(f"{problem} (for {params['timeout']} s)")
        time.sleep(params["interval"])


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "default": "eth2prysm"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "history": {"type": "bool", "default": False},
            "revisions": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
            "interval": {"type": "float", "default": 1},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    kubeconfig = module.params["kubeconfig"]
    if kubeconfig and not is_there(kubeconfig):
        module.exit_json(changed=False, **{**NOTHING, "differing_secrets": sorted(module.params["secrets"])})
    try:
        module.exit_json(changed=False, **wait(module.params))
    except (Never, NotYet, _release.ReleaseError, StakingError) as exc:
        module.fail_json(msg=f"The release {module.params['release']} cannot be read: {exc}")


if __name__ == "__main__":
    main()
