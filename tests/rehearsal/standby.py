"""The two pods of each client, as a test with a standby sees them, and moves who signs past every playbook."""

from __future__ import annotations

import typing as t

from .conftest import Lab

CLIENTS = ("validator1", "validator2")
KUBECTL = "/snap/bin/microk8s kubectl"
#: The beacon node stays where the validators' node is not taken from it.
PINNED = {"beacon": {"nodeSelector": {"kubernetes.io/hostname": "master"}}}


class Pod(t.NamedTuple):
    """A pod of a client, as Kubernetes shows it."""

    client: str
    name: str
    uid: str
    node: str
    version: str
    #: Prysm has started; one that runs without waits for its lock.
    started: bool
    runs: bool
    restarts: int


def pods(lab: Lab) -> list[Pod]:
    """The pods of all clients."""
    found = []
    for pod in lab.kubectl("get pods -n prysm -l app.kubernetes.io/component=validator")["items"]:
        containers = pod["status"].get("containerStatuses", [])
        found.append(
            Pod(
                client=pod["metadata"]["labels"]["app"],
                name=pod["metadata"]["name"],
                uid=pod["metadata"]["uid"],
                node=pod["spec"].get("nodeName", ""),
                version=pod["metadata"]["labels"]["app.kubernetes.io/version"],
                started=any(one.get("started") for one in containers),
                runs=any("running" in one["state"] for one in containers),
                restarts=sum(one["restartCount"] for one in containers),
            )
        )
    return sorted(found)


def pairs(lab: Lab) -> dict[str, tuple[Pod, Pod]]:
    """Client -> the pod that signs, and the one that waits on another node; only clients that have both."""
    there = pods(lab)
    found = {}
    for client in CLIENTS:
        own = [pod for pod in there if pod.client == client]
        signs = [pod for pod in own if pod.started]
        waits = [pod for pod in own if pod.runs and not pod.started]
        if len(own) == 2 and len(signs) == len(waits) == 1 and signs[0].node != waits[0].node:
            found[client] = (signs[0], waits[0])
    return found


def all_on(lab: Lab, node: str) -> bool:
    """Whether every client signs on this node; a pod that signs elsewhere is deleted once the other one waits there."""
    there = pairs(lab)
    for signs, waits in there.values():
        if waits.node == node:
            lab.on("master", f"{KUBECTL} delete pod -n prysm {signs.name} --wait=false")
    return len(there) == len(CLIENTS) and all(signs.node == node for signs, _waits in there.values())
