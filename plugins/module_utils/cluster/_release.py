# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.
"""What Helm recorded of a release, and what its workloads have made of it.

Helm 3 keeps each revision as a Secret labelled owner=helm, name, status and version, whose data.release is base64 of a
gzip stream of JSON, once more in base64 as all Secrets are (helm.sh/helm/v3 pkg/storage/driver).
"""

from __future__ import annotations

import base64
import json
import re
import typing as t
import zlib

try:
    import yaml
except ImportError:  # pragma: no cover
    yaml = None  # type: ignore[assignment]

_GONE = ("superseded", "uninstalled")
# A record is at most a Secret (1 MiB) before it is unpacked.
_LIMIT = 64 * 1024 * 1024


class ReleaseError(ValueError):
    """A record of Helm that cannot be read."""


class Record(t.NamedTuple):
    """One revision, by its Secret's labels; `packed` is what Helm keeps in it."""

    name: str
    revision: int
    status: str
    packed: str


def records(secrets: t.Iterable[t.Mapping[str, t.Any]]) -> list[Record]:
    """Helm's records, oldest first. ReleaseError names one that says no revision."""
    found = []
    for secret in secrets:
        labels, name = secret["metadata"].get("labels") or {}, secret["metadata"]["name"]
        try:
            revision = int(labels["version"])
        except (KeyError, ValueError) as exc:
            raise ReleaseError(f"the Secret {name} is not a record of Helm: it has no label `version`") from exc
        found.append(Record(name, revision, labels.get("status", ""), (secret.get("data") or {}).get("release", "")))
    return sorted(found, key=lambda record: record.revision)


def unfinished(found: t.Iterable[Record]) -> list[str]:
    """Records of attempts that never finished: they block the next one, or hide that values were not applied.

    A word that Helm has for an end counts (deployed, superseded), and no other: failed, pending-install, uninstalling,
    and whatever a newer Helm calls its own. All records go where none is whole, and where the last attempt failed:
    Helm then installs anew and takes over what is there. It would try the same change again otherwise, or compare with
    a record of long ago and do nothing.
    """
    kept = sorted(found, key=lambda record: record.revision)
    half = [record.name for record in kept if record.status not in ("deployed", "superseded")]
    if half and (kept[-1].status == "failed" or not any(record.status == "deployed" for record in kept)):
        return [record.name for record in kept]
    return half


def newest(found: t.Sequence[Record]) -> Record | None:
    """The revision that counts, finished or not: a release that is being removed is there until it is gone."""
    return next((record for record in reversed(found) if record.status not in _GONE), None)


def unpack(kept: str) -> dict[str, t.Any]:
    """All that Helm keeps of a revision, from its Secret's data.release. ReleaseError when it cannot be unpacked."""
    try:
        packed = base64.b64decode(base64.b64decode(kept, validate=True), validate=True)
        text = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(packed, _LIMIT)
        found = json.loads(text.decode("utf-8"))
    except (ValueError, zlib.error) as exc:
        raise ReleaseError(f"it cannot be unpacked: {exc}") from exc
    if not isinstance(found, dict) or not isinstance(found.get("config") or {}, dict):
        raise ReleaseError("its values are no mapping")
    return found


def manifest(record: Record) -> list[dict[str, t.Any]]:
    """The objects a revision installs. ReleaseError names a record that cannot be unpacked."""
    if yaml is None:
        raise ReleaseError("python3-yaml is missing on this machine")
    try:
        return [one for one in yaml.safe_load_all(unpack(record.packed).get("manifest") or "") if isinstance(one, dict)]
    except (ReleaseError, yaml.YAMLError) as exc:
        raise ReleaseError(f"the Secret {record.name} cannot be read as a record of Helm: {exc}") from exc


def installed(found: t.Sequence[Record]) -> list[Record]:
    """The revisions that live objects may be of: the newest, and the one that was whole before it."""
    last = newest(found)
    if last is None or last.status == "deployed":
        return [last] if last else []
    whole = [record for record in found if record.status == "deployed"]
    return [*whole[-1:], last]


def from_objects(
    sets: t.Iterable[t.Mapping[str, t.Any]], volumes: t.Iterable[t.Mapping[str, t.Any]]
) -> dict[str, t.Any]:
    """Values as far as live objects tell them, where Helm's records are gone: version, and the clients' directories."""
    places = {one["metadata"]["name"]: (one.get("spec") or {}).get("nfs") or {} for one in volumes}
    found: dict[str, t.Any] = {}
    for item in sets:
        labels = item["metadata"].get("labels") or {}
        version = labels.get("app.kubernetes.io/version")
        if version:
            found["image"] = {"version": version}
        name = item["metadata"]["name"]
        prefix = f"{item['metadata'].get('namespace')}-{labels.get('app.kubernetes.io/instance')}-{name}"
        data, wallet = (places.get(f"{prefix}-{volume}", {}).get("path") for volume in ("data", "wallet"))
        if labels.get("app.kubernetes.io/component") == "validator" and data and wallet:
            paths = {"dataVolumePath": data, "walletVolumePath": wallet}
            found.setdefault("validators", {})[name] = {"name": name, **paths}
    return found


def values(record: Record) -> dict[str, t.Any]:
    """The values a revision was made with. ReleaseError names a record that cannot be unpacked."""
    try:
        return unpack(record.packed).get("config") or {}
    except ReleaseError as exc:
        raise ReleaseError(f"the Secret {record.name} cannot be read as a record of Helm: {exc}") from exc


def versions(found: t.Iterable[Record]) -> dict[str, str]:
    """Number of a revision -> the version of Prysm it installed. ReleaseError names a record that cannot be read."""
    return {str(record.revision): str((values(record).get("image") or {}).get("version", "")) for record in found}


def clients(config: t.Mapping[str, t.Any]) -> dict[str, t.Mapping[str, t.Any]]:
    """The clients in values of this collection's chart by name, whether they stand there as a map or as a list."""
    listed = config.get("validators") or {}
    if isinstance(listed, list):
        return {str(entry.get("name")): entry for entry in listed}
    return {str((entry or {}).get("name") or key): entry or {} for key, entry in listed.items()}


def pods_per_client(config: t.Mapping[str, t.Any]) -> int:
    """How many pods a release with these values has for each client: one, or one that signs and one that waits."""
    return 2 if (config.get("standby") or {}).get("enabled") else 1


def differing(wanted: t.Mapping[str, t.Mapping[str, str]], found: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Names of the Secrets that are missing, or do not hold exactly what they should."""
    there = {secret["metadata"]["name"]: secret.get("data") or {} for secret in found}
    return sorted(
        name
        for name, data in wanted.items()
        if there.get(name)
        != {key: base64.b64encode(text.encode("utf-8")).decode("ascii") for key, text in data.items()}
    )


def _refused(container: t.Mapping[str, t.Any]) -> bool:
    """Whether a container ended because its guard refused to start Prysm."""
    ends = [(container.get(when) or {}).get("terminated") or {} for when in ("state", "lastState")]
    return any("guard: REFUSED" in (end.get("message") or "") for end in ends)


def _stale(pod: t.Mapping[str, t.Any], revision: str, alone: bool) -> bool:
    """Whether a pod is not of a revision, or its guard failed."""
    if (pod["metadata"].get("labels") or {}).get("controller-revision-hash") != revision:
        return True
    status = pod.get("status") or {}
    guards = [one for one in status.get("initContainerStatuses") or [] if one.get("restartCount")]
    # The same guard runs again in Prysm's own container. One that waits for another pod's lock is never ready.
    guards += [
        one
        for one in status.get("containerStatuses") or []
        if _refused(one) and (alone or "running" not in (one.get("state") or {}))
    ]
    return any(not one.get("ready") for one in guards)


def workload(stateful_set: t.Mapping[str, t.Any], pods: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """A StatefulSet and its pod; of two, the one that is Ready, which is the one that signs.

    `settled`: its controller has seen the newest specification. `stale`: a pod of it must be replaced, because it is
    not of that specification, or because its guard failed (the pauses before the next try only grow; a new pod sees at
    once what was put right).
    """
    meta, status = stateful_set["metadata"], stateful_set.get("status") or {}
    spec = stateful_set.get("spec") or {}
    named = re.compile(re.escape(meta["name"]) + "-[0-9]+")
    own = [one for one in pods if named.fullmatch(one["metadata"]["name"])]
    own = [one for one in own if not one["metadata"].get("deletionTimestamp")] or own
    own.sort(key=lambda one: (not _ready(one), one["metadata"]["name"]))
    pod = own[0] if own else None
    revision = status.get("updateRevision") or ""
    return {
        "replicas": spec.get("replicas", 1),
        "policy": spec.get("podManagementPolicy") or "OrderedReady",
        "settled": status.get("observedGeneration", 0) == meta.get("generation") and bool(revision),
        "pod": pod["metadata"]["uid"] if pod else "",
        "node": (pod.get("spec") or {}).get("nodeName") or "" if pod else "",
        "stale": any(_stale(one, revision, len(own) == 1) for one in own),
    }


def _ready(pod: t.Mapping[str, t.Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


class States(t.NamedTuple):
    """What has to become of the clients of a release."""

    #: Those whose pod must be replaced, or that were stopped; and all others, which stay as they are.
    outdated: list[t.Mapping[str, t.Any]]
    current: list[t.Mapping[str, t.Any]]
    #: Those that are started for the first time.
    new: list[t.Mapping[str, t.Any]]
    #: Names of those that were stopped.
    halted: list[str]
    #: Whether there are clients, and all of them and the beacon nodes run as they are wanted.
    steady: bool


def clients_by_state(
    listed: t.Sequence[t.Mapping[str, t.Any]],
    workloads: t.Mapping[str, t.Mapping[str, t.Any]],
    before: t.Mapping[str, t.Any],
    beacons: t.Sequence[str],
) -> States:
    """What has to become of these clients, by their workloads and by the values that were installed before.

    `beacons` are the names of the beacon nodes' workloads.
    """
    names = [client["name"] for client in listed]
    halted = [name for name, found in workloads.items() if name in names and found["replicas"] == 0]
    stale = [name for name, found in workloads.items() if found.get("stale")]
    outdated = [client for client in listed if client["name"] in (*halted, *stale)]
    new = [client for client in listed if client["name"] not in (before.get("validators") or {})]
    nodes = [workloads.get(name) or {} for name in beacons]
    return States(
        outdated,
        [client for client in listed if client not in outdated],
        new,
        halted,
        steady=bool(listed)
        and not outdated
        and not new
        and all(node.get("stale") is False and node.get("replicas") == 1 for node in nodes),
    )


def program_arguments(objects: t.Iterable[t.Mapping[str, t.Any] | None]) -> dict[str, list[str]]:
    """What rendered StatefulSets would start beacon node and clients with, each argument once.

    It stands behind two dashes, which end the guard's own arguments, and behind the path of the program.
    """
    found: dict[str, list[str]] = {"beacon": [], "validator": []}
    for item in objects:
        if item and item.get("kind") == "StatefulSet":
            template = item["spec"]["template"]
            known = found[template["metadata"]["labels"]["app.kubernetes.io/component"]]
            given = template["spec"]["containers"][0]["args"]
            for word in given[given.index("--") + 1 :]:
                if word.startswith("--") and word not in known:
                    known.append(word)
    return found


#: Where Calico, which MicroK8s brings along, notes a node's end of its tunnels.
_TUNNELS = (
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
)


def addresses(nodes: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """The IPv4 addresses from which processes of the nodes reach pods, sorted."""
    found = set()
    for node in nodes:
        for entry in (node.get("status") or {}).get("addresses") or []:
            if entry.get("type") in ("InternalIP", "ExternalIP"):
                found.add(entry.get("address") or "")
        annotations = node["metadata"].get("annotations") or {}
        found.update(annotations.get(name) or "" for name in _TUNNELS)
    return sorted(one for one in found if one and ":" not in one)
