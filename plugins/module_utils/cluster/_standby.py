# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""Whether each client gets a second pod that waits for the lock, what a release needs for it, and whose turn it is."""

from __future__ import annotations

import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._cluster import NotYet, describe

Table = t.Mapping[str, t.Any]
PARALLEL = "Parallel"


class Plan(t.NamedTuple):
    """What the release says of standbys, and what that takes."""

    #: Whether it is worth it that two pods try the lock: all else is proved, and no release has a standby yet.
    probe: bool
    #: Values of the release; without a wish for a standby none, so that nothing is installed for it.
    given: dict[str, t.Any]
    #: StatefulSets that are made anew: how their pods are started (podManagementPolicy) cannot be changed in place.
    remake: list[str]


def takers(pods: t.Iterable[Table], nodes: t.Container[str]) -> list[str]:
    """Names of the pods of one client that could take its lock over: they run on one of these nodes, and stay."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"] and pod["spec"].get("nodeName") in nodes and _runs(pod)
    ]


def _runs(pod: Table) -> bool:
    containers = (pod.get("status") or {}).get("containerStatuses") or []
    return bool(containers) and "running" in (containers[0].get("state") or {})


def _refusal(had: bool, fence: Table, probe: Table, run: str, halted: t.Sequence[str]) -> str:
    """Why there is no standby; empty where there is one."""
    if not _is_read(fence, run) or not (had or probe.get("proved")):
        reasons = [*(fence.get("reasons") or []), *(probe.get("reasons") or [])]
        return "; ".join(reasons) or "the fence was not proved when the site was last changed"
    if halted and not had:
        # Helm would write how many pods there are, and so start a client that was stopped.
        return f"{', '.join(halted)} had been stopped when site.yml last ran; run it once more"
    return ""


def _is_read(fence: Table, run: str) -> bool:
    """Whether what this very run read of mounts and servers is in order: what was proved once may have changed."""
    return bool(fence.get("proved")) and bool(run) and fence.get("run") == run


def plan(
    found: Table, wanted: bool, fence: Table, probe: Table, run: str, clients: t.Sequence[str], halted: t.Sequence[str]
) -> Plan:
    """The plan, from the release as it is found and the proofs of this run (`run` is its name).

    `fence` is what was read, `probe` what two pods found out by trying; `clients` are the names of all clients, and
    `halted` of those that were stopped.
    """
    had = found["pods_per_client"] > 1
    because = _refusal(had, fence, probe, run, halted) if wanted else ""
    stands_by = wanted and not because
    policies = {name: work["policy"] for name, work in (found.get("workloads") or {}).items() if "policy" in work}
    # Once parallel, a StatefulSet stays so: it would be made anew for nothing.
    parallel = stands_by or PARALLEL in policies.values()
    values: dict[str, t.Any] = {}
    if wanted:
        values["standby"] = {"enabled": stands_by, "because": because}
    if parallel:
        values["podManagementPolicy"] = PARALLEL
    return Plan(
        probe=wanted and _is_read(fence, run) and not had,
        given=values,
        remake=[name for name in policies if parallel and name in clients and policies[name] != PARALLEL],
    )


class Turn(t.NamedTuple):
    """The two pods of a client, seen by somebody who wants both to be of the newest template."""

    #: Why it cannot be done one pod after the other; empty where it can.
    reason: str
    signer: Table
    #: Whether the signer is of an older template.
    stale: bool
    other: Table
    #: Whether the other one has to be made anew.
    renew: bool


def _none(reason: str) -> Turn:
    return Turn(reason, {}, stale=False, other={}, renew=False)


def turn(stateful_set: Table, pods: t.Iterable[Table]) -> Turn:
    """Whose turn it is. NotYet while the StatefulSet's controller has not seen its newest template."""
    spec, status = stateful_set.get("spec") or {}, stateful_set.get("status") or {}
    revision = status.get("updateRevision")
    if stateful_set and (
        not revision or status.get("observedGeneration") != stateful_set["metadata"].get("generation")
    ):
        raise NotYet("its StatefulSet has not been read by its controller yet")
    own = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if spec.get("replicas") != 2 or len(own) != 2:
        return _none(f"it has {len(own)} pods of {spec.get('replicas', 0)}")
    known = {pod["metadata"]["uid"]: describe(pod) for pod in own}
    signs = [pod for pod in own if known[pod["metadata"]["uid"]].started]
    if len(signs) != 1:
        return _none(f"{len(signs)} of its pods have started Prysm")
    signer, other = signs[0], next(pod for pod in own if pod is not signs[0])
    if signer["spec"].get("nodeName") == other["spec"].get("nodeName"):
        return _none("both pods are on one node")
    # What keeps them apart is the lock on one file.
    if not (_claims(signer) == _claims(other) == _claims(spec["template"]) != set()):
        return _none("its storage is another one from now on")
    stale = [pod["metadata"].get("labels", {}).get("controller-revision-hash") != revision for pod in (signer, other)]
    return Turn("", signer, stale[0], other, stale[1] or known[other["metadata"]["uid"]].hopeless)


def _claims(pod: Table) -> set[str]:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return {one["persistentVolumeClaim"]["claimName"] for one in volumes if one.get("persistentVolumeClaim")}
