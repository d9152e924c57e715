#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validator_stopped
short_description: Prove that validator clients have stopped
version_added: 0.1.0
description:
  - Waits until the API server has no pod of such a client any more and the container runtime of every node, asked
    through its own kubelet, runs no container of one.
  - A pod belongs to a client when it is named after it (any ordinal), has its label C(app), is owned by its
    StatefulSet, or mounts one of O(volumes), in any namespace. It counts until it is gone, also while it is being
    deleted or its node does not answer.
  - A node that cannot be asked counts as a node that still signs; the module then fails and names it. So do nodes of
    O(nodes) that have no Node object any more.
  - A StatefulSet that still wants replicas is not stopped.
  - Says nothing about processes outside of the cluster; the lock on C(validator.db) does, see
    M(eth2xk8s.staking.validator_lock).
options:
  clients:
    description: Names of the StatefulSets that must have stopped.
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
  volumes:
    description:
      - Paths of the clients' data and wallets, on the NFS server or, for hostPath, on the nodes. Pods of any name that
        mount them count too.
      - Without it, pods of the same names count in every namespace.
    type: list
    elements: str
    default: []
  nodes:
    description:
      - Names of nodes that must be asked even when the API server no longer has a Node object of them, such as every
        machine of the inventory that was ever a node.
    type: list
    elements: str
    default: []
  proved_nodes:
    description:
      - Names of nodes on which no validator client runs as was proved in another way, such as by asking the machine
        itself for its processes. They need not be asked, and pods that are being deleted there do not count.
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
  eth2xk8s.staking.validator_stopped:
    kubeconfig: /var/snap/microk8s/current/credentials/client.config
    clients: [validator1]
    volumes: [/data/prysm/validator1, /data/prysm/wallets/validator1]
    nodes: "{{ groups['microk8s'] }}"
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
replicas:
  description: Clients whose StatefulSets want more than one replica, and how many. With a standby it is two.
  returned: always
  type: dict
  sample: {}
disregarded:
  description: Pods that are being deleted on O(proved_nodes).
  returned: always
  type: list
  elements: str
  sample: []
"""

import posixpath
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

_ENDED = ("Succeeded", "Failed")


def _covers(one: str, other: str) -> bool:
    """Whether a path is the other, or above it."""
    one, other = (posixpath.normpath("/" + path.lstrip("/")) for path in (one, other))
    return one == other or other.startswith(one.rstrip("/") + "/")


class Look:
    """One look at a cluster, remembering what earlier looks have found."""

    def __init__(self, cluster: Cluster, params: dict[str, t.Any]) -> None:
        self.cluster = cluster
        self.namespace: str = params["namespace"]
        self.clients: list[str] = params["clients"]
        self.uids = set(params["uids"])
        self.volumes: list[str] = params["volumes"]
        self.wanted_nodes = set(params["nodes"])
        self.proved = set(params["proved_nodes"])
        self.named = re.compile("(?:{})-[0-9]+".format("|".join(map(re.escape, self.clients))))
        self.seen: dict[str, t.Any] = {}
        # Of pods that belong to the clients, those that are gone from the API server included.
        self.known: set[str] = set(self.uids)

    def _mounts(self, pod: dict[str, t.Any], volumes: dict[tuple[str, str], dict[str, t.Any]]) -> bool:
        """Whether a pod mounts one of the paths."""
        for volume in (pod.get("spec") or {}).get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            source = volumes.get((pod["metadata"].get("namespace", ""), claim), {}) if claim else volume
            csi = (source.get("csi") or {}).get("volumeAttributes") or {}
            served = [(source.get("nfs") or {}).get("path")]
            if csi.get("share"):
                served.append(posixpath.join(csi["share"], (csi.get("subdir") or "").lstrip("/")))
            local = [(source.get(kind) or {}).get("path") for kind in ("hostPath", "local")]
            for path in self.volumes:
                # An export of a directory above hands out the client's, too; "/" of a node is what agents mount.
                if any(one and (_covers(one, path) or _covers(path, one)) for one in served):
                    return True
                if any(one and _covers(path, one) for one in local):
                    return True
        return False

    def _claimed(self) -> dict[tuple[str, str], dict[str, t.Any]]:
        """The source of each claimed volume, by namespace and claim."""
        if not self.volumes:
            return {}
        sources = {item["metadata"]["name"]: item["spec"] for item in self.cluster.everywhere("persistentvolumes")}
        return {
            (item["metadata"].get("namespace", ""), item["metadata"]["name"]): sources.get(
                (item.get("spec") or {}).get("volumeName") or "", {}
            )
            for item in self.cluster.everywhere("persistentvolumeclaims")
        }

    def _belongs(self, pod: dict[str, t.Any], volumes: dict[tuple[str, str], dict[str, t.Any]]) -> bool:
        meta = pod["metadata"]
        if self.uids:
            return meta["uid"] in self.uids
        ended = (pod.get("status") or {}).get("phase") in _ENDED
        if not ended and self._mounts(pod, volumes):
            return True
        # With the volumes known, an equal name elsewhere is another site's.
        if meta.get("namespace", "") != self.namespace and self.volumes:
            return False
        owners = [owner["name"] for owner in meta.get("ownerReferences") or [] if owner.get("kind") == "StatefulSet"]
        label = (meta.get("labels") or {}).get("app")
        return bool(self.named.fullmatch(meta["name"])) or bool({label, *owners}.intersection(self.clients))

    def _place(self, meta: dict[str, t.Any]) -> str:
        space = meta.get("namespace", "")
        return meta["name"] if space in ("", self.namespace) else f"{space}/{meta['name']}"

    def _ask_server(self) -> dict[str, bool]:
        """What the API server has; whether each of its pods, by UID, belongs to the clients."""
        seen, pods = self.seen, {}
        volumes = self._claimed()
        for pod in self.cluster.everywhere("pods"):
            meta = pod["metadata"]
            pods[meta["uid"]] = self._belongs(pod, volumes)
            if not pods[meta["uid"]]:
                continue
            self.known.add(meta["uid"])
            node = (pod.get("spec") or {}).get("nodeName") or ""
            if node:
                self.wanted_nodes.add(node)
            words = f"pod {self._place(meta)} on {node or 'no node'}"
            if meta.get("deletionTimestamp"):
                if node in self.proved:
                    seen["disregarded"].append(words)
                    continue
                words += ", which is being deleted"
            seen["left"].append(words)
        for item in self.cluster.sets(self.namespace):
            name, replicas = item["metadata"]["name"], (item.get("spec") or {}).get("replicas", 1)
            if name in self.clients and replicas > 1:
                seen["replicas"][name] = replicas
            if name in self.clients and replicas > 0 and not self.uids:
                seen["left"].append(f"StatefulSet {name}, which wants {replicas} pods")
        seen["nodes"] = sorted(set(self.cluster.nodes()) - self.proved)
        for node in sorted(self.wanted_nodes - set(seen["nodes"]) - self.proved):
            seen["unreadable"].append(f"node {node}: it has no Node object any more, so its kubelet cannot be asked")
        return pods

    def _counts(self, name: str, uid: str, pods: dict[str, bool]) -> bool:
        """Whether a running container's pod belongs to the clients: one that the API server forgot, by its name."""
        if self.uids or uid in self.known:
            return uid in self.known
        return uid not in pods and any(name.startswith(f"{client}-") for client in self.clients)

    def once(self) -> dict[str, t.Any]:
        """What is left of the clients, by the API server and by each node's runtime."""
        self.seen = {"nodes": [], "left": [], "unreadable": [], "replicas": {}, "disregarded": []}
        seen = self.seen
        try:
            pods = self._ask_server()
        except NotYet as exc:
            seen["unreadable"].append(str(exc))
            return seen
        for node in seen["nodes"]:
            try:
                for space, name, uid in self.cluster.running(node):
                    if self._counts(name, uid, pods):
                        place = self._place({"name": name, "namespace": space})
                        seen["left"].append(f"containers of {place} on {node}")
            except NotYet as exc:
                seen["unreadable"].append(f"node {node}: {exc}")
        return seen


def main() -> None:
    """Read the parameters, do the work, report."""
    module = AnsibleModule(
        argument_spec={
            "clients": {"type": "list", "elements": "str", "required": True},
            "uids": {"type": "list", "elements": "str", "default": []},
            "volumes": {"type": "list", "elements": "str", "default": []},
            "nodes": {"type": "list", "elements": "str", "default": []},
            "proved_nodes": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 300},
            "interval": {"type": "float", "default": 1},
            **CLUSTER_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["timeout"]
    if not params["clients"]:
        module.exit_json(changed=False, nodes=[], left=[], unreadable=[], replicas={}, disregarded=[])
    try:
        look = Look(Cluster(params["kubeconfig"], params["context"]), params)
        while True:
            seen = look.once()
            if not seen["left"] and not seen["unreadable"] and seen["nodes"]:
                module.exit_json(changed=False, **seen)
            if time.monotonic() >= deadline:
                words = [*seen["left"], *(f"cannot read {one}" for one in seen["unreadable"])]
                module.fail_json(
                    msg=f"Not proved stopped within {params['timeout']} s: " + "; ".join(words or ["no node to ask"]),
                    **seen,
                )
            time.sleep(params["interval"])
    except Never as exc:
        module.fail_json(msg=f"It cannot be proved that they have stopped: {exc}", left=[], unreadable=[str(exc)])


if __name__ == "__main__":
    main()
