# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""What the files and outputs of snap and MicroK8s mean. Knows nothing of Ansible; reads no file itself but `Files`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import typing as t
from datetime import datetime, timedelta, timezone
from pathlib import Path

SNAP_DATA = Path("/var/snap/microk8s/current")
# `snap refresh --hold` exists from here on.
HOLD_SINCE = (2, 58)
# On a node that this collection cordoned, so that a later run knows it may uncordon it.
CORDONED_FOR = "staking.eth2xk8s/cordoned-for"
# The others that a worker has are left over from before it joined.
USED_BY_WORKERS = {f"certs/{name}.crt" for name in ("ca.remote", "kubelet", "proxy")} | {
    f"credentials/{name}.config" for name in ("kubelet", "proxy")
}
# MicroK8s' leaders renew their leases every two seconds; after a restart the old one has to run out first (60 s).
LEADERLESS_SECONDS = 20
ADDON_DEPLOYMENTS = {"dns": "coredns", "metrics-server": "metrics-server"}
RISKS = ("stable", "candidate", "beta", "edge")
# Where a datastore listens that was never joined.
LOOPBACK = "127.0.0.1"
OWN_NAMESPACES = {"default", "kube-system", "kube-public", "kube-node-lease"}
# A kubelet renews its lease every ten seconds; this long after the last time the cluster gives the node up.
NODE_LEASE_SECONDS = 40
# So long after a start of the machine its kubelet may not have told the cluster yet which boot this is.
BOOT_SETTLES_SECONDS = 60
# What stands in `snap list` of the snaps that others run on. A refresh of one restarts MicroK8s although that is held.
BASE_NOTES = {"base", "core", "os", "snapd"}
# Only the first of these that exists is read when MicroK8s is installed (snap/hooks/install).
LAUNCH_FILES = (
    Path("/etc/microk8s.yaml"),
    Path("/root/snap/microk8s/common/.microk8s.yaml"),
    Path("/var/snap/microk8s/common/.microk8s.yaml"),
)
# Annotation of a node: the address of its VXLAN device.
TUNNEL = "projectcalico.org/IPv4VXLANTunnelAddr"
# Every cluster has these in its datastore.
KNOWN_KEYS = ("/registry/namespaces/kube-system", "/registry/services/specs/default/kubernetes")


class Microk8sError(Exception):
    """Something that had to be read could not be understood."""


def parse_snap_version(text: str) -> tuple[int, int]:
    """The version of snapd itself, as `snap version` prints it."""
    found = re.search(r"^snapd\s+(\d+)\.(\d+)", text, re.MULTILINE)
    if not found:
        raise Microk8sError(f"snap version does not name the version of snapd: {text.strip()!r}")
    return int(found[1]), int(found[2])


def _snap_row(line: str) -> dict[str, t.Any]:
    columns = line.split()
    if len(columns) < 5:
        raise Microk8sError(f"snap list has an unreadable row: {line!r}")
    # The publisher is the one column that may be missing ("-" stands there on sideloaded snaps).
    notes = columns[-1].split(",") if columns[-1] != "-" else []
    return {
        "version": columns[1],
        "revision": columns[2],
        "channel": columns[3],
        "notes": notes,
        "held": "held" in notes,
        "disabled": "disabled" in notes,
    }


def parse_snap_list(text: str, name: str = "microk8s") -> dict[str, t.Any] | None:
    """The row of one snap in `snap list`, or None when the snap is not installed."""
    for line in text.splitlines():
        if line.split()[:1] == [name]:
            return _snap_row(line)
    return None


def parse_bases(text: str) -> list[dict[str, t.Any]]:
    """The rows of snapd and of every base in `snap list`: what MicroK8s runs on, and is restarted by."""
    found = []
    for line in text.splitlines()[1:]:
        if line.strip():
            row = _snap_row(line)
            if BASE_NOTES.intersection(row["notes"]) and not row["disabled"]:
                found.append({"name": line.split()[0], **row})
    return sorted(found, key=lambda row: str(row["name"]))


def snaps_behind(snaps: t.Iterable[t.Mapping[str, t.Any]], offered: t.Mapping[str, t.Any]) -> list[str]:
    """Those snaps of which the store has a newer revision. One that was installed from a file (x1) has none of it."""

    def number(revision: t.Any) -> int:
        return int(revision) if str(revision).isdigit() else 0

    return [snap["name"] for snap in snaps if number(offered.get(snap["name"], 0)) > number(snap["revision"])]


def short_holds(text: str, now: datetime) -> set[str]:
    """Snaps whose refreshes are held for less than a year, from snapd's state: `snap list` calls these held as well.

    Without an end (`snap refresh --hold`) it ends in some centuries. A snap may be held by several; the last counts.
    """
    try:
        held = (json.loads(text).get("data") or {}).get("snaps-hold") or {}
        ends = {name: [str(hold["hold-until"])[:10] for hold in by.values()] for name, by in held.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise Microk8sError(
            f"the state of snapd cannot be read, so how long refreshes are held is unknown: {exc!r}"
        ) from exc
    enough = (now + timedelta(days=365)).strftime("%Y-%m-%d")
    return {name for name, dates in ends.items() if dates and max(dates) < enough}


def parse_offered_revision(text: str, channel: str) -> int | None:
    """The revision that a channel holds, from `snap info` (snapd 2.77, cmd_info.go); None when it does not say.

    A risk that holds nothing of its own is an arrow: it follows the more stable one.
    """
    track, _unused, risk = channel.rpartition("/")
    if risk not in RISKS:
        return None
    for name in reversed(RISKS[: RISKS.index(risk) + 1]):
        found = re.search(rf"^  {re.escape(track)}/{name}:[ \t]+(.*)$", text, re.MULTILINE)
        if not found:
            return None
        if found[1].strip() not in ("^", "\u2191"):
            revision = re.search(r"\((\d+)\)", found[1])
            return int(revision[1]) if revision else None
    return None


def _der_item(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the content and end of the content of the DER item at a place."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise Microk8sError("certificate is cut short")
    return tag, start, start + length


def certificate_expiry(pem: str) -> datetime:
    """When a certificate ends. By hand, since neither openssl nor python3-cryptography need be on a node."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :].split("-----END")[0] + PEM_END)
        _unused, at, _unused = _der_item(der, 0)  # Certificate
        _unused, at, _unused = _der_item(der, at)  # TBSCertificate
        tag, _unused, end = _der_item(der, at)
        if tag == 0xA0:  # version, then the serial number
            _unused, _unused, end = _der_item(der, end)
        for _unused in range(2):  # signature algorithm, issuer
            _unused, _unused, end = _der_item(der, end)
        _unused, at, _unused = _der_item(der, end)  # validity
        _unused, _unused, end = _der_item(der, at)  # not before
        tag, start, end = _der_item(der, end)  # not after
        stamp = der[start:end].decode("ascii")
        if tag == 0x17:  # two-digit years: RFC 5280, 4.1.2.5.1
            stamp = ("19" if int(stamp[:2]) >= 50 else "20") + stamp
        return datetime.strptime(stamp, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
    except (IndexError, ValueError) as exc:
        raise Microk8sError(f"not a certificate: {exc}") from exc


PEM_END = "-----END CERTIFICATE-----\n"


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate: equal CA, equal cluster."""
    try:
        start = pem.index("-----BEGIN CERTIFICATE")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[start:].split("-----END")[0] + PEM_END)).hexdigest()
    except ValueError as exc:
        raise Microk8sError(f"not a certificate: {exc}") from exc


def certificates_in_kubeconfig(text: str) -> list[str]:
    """Client certificates written into a kubeconfig."""
    found = re.findall(r"^\s*(?:- )?['\"]?client-certificate-data['\"]?:\s*['\"]?([^\s'\"#]+)", text, re.MULTILINE)
    try:
        return [base64.b64decode(data, validate=True).decode("ascii") for data in found]
    except ValueError as exc:
        raise Microk8sError(f"client-certificate-data is not base64: {exc}") from exc


def parse_nodes(document: str, now: float | None = None) -> dict[str, t.Any]:
    """What `kubectl get nodes,namespaces,deployments.apps,leases.coordination.k8s.io -A -o json` says.

    `leases` has, for each lease of kube-system, when it was renewed, and so has `renewed` of each node, whose kubelet
    renews it every ten seconds: seconds since 1970, by the clock of who renews it. With `now`, a node is `ready` only
    while its lease is young: its condition stays as it was for as long as nobody is at work who would change it.
    """
    nodes, namespaces, deployments = [], [], []
    leases: dict[str, dict[str, float]] = {"kube-system": {}, "kube-node-lease": {}}
    try:
        for item in json.loads(document)["items"]:
            meta = item["metadata"]
            if item["kind"] == "Namespace":
                namespaces.append(meta["name"])
            elif item["kind"] == "Lease":
                if meta["namespace"] in leases and item["spec"].get("renewTime"):
                    leases[meta["namespace"]][meta["name"]] = renewed_at(item)
            elif item["kind"] == "Deployment":
                deployments.append(_deployment(item))
            elif item["kind"] == "Node":
                nodes.append(_node(item))
    except (KeyError, TypeError, ValueError) as exc:
        raise Microk8sError(f"kubectl did not answer with a list of nodes: {exc!r}") from exc
    for node in nodes:
        node["renewed"] = leases["kube-node-lease"].get(node["name"], 0.0)
        node["reported_ready"] = node["ready"]
        node["ready"] = node["ready"] and (now is None or now - node["renewed"] < NODE_LEASE_SECONDS)
    return {
        "nodes": sorted(nodes, key=lambda node: str(node["name"])),
        "namespaces": sorted(namespaces),
        "foreign_namespaces": sorted(set(namespaces) - OWN_NAMESPACES),
        "deployments": deployments,
        "leases": leases["kube-system"],
    }


def _deployment(item: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Of a Deployment whether all of its pods are there, and of its newest kind."""
    meta, status = item["metadata"], item.get("status") or {}
    wanted = item["spec"].get("replicas", 1)
    return {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "available": status.get("observedGeneration") == meta.get("generation")
        and status.get("availableReplicas", 0) >= wanted
        and status.get("updatedReplicas", 0) >= wanted,
    }


def _node(item: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a Node object says of its machine; `ready` is its condition, whoever wrote that and when."""
    meta, status = item["metadata"], item["status"]
    info = status["nodeInfo"]
    addresses = [one["address"] for one in status.get("addresses", []) if one["type"] == "InternalIP"]
    annotations = meta.get("annotations") or {}
    return {
        "name": meta["name"],
        "addresses": addresses,
        "ready": any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", [])),
        "unschedulable": bool(item["spec"].get("unschedulable")),
        "version": info["kubeletVersion"],
        "machine_id": info.get("machineID", ""),
        "system_uuid": info.get("systemUUID", ""),
        "boot_id": info.get("bootID", ""),
        "tunnel": annotations.get(TUNNEL, ""),
        "worker": "node.kubernetes.io/microk8s-worker" in (meta.get("labels") or {}),
        "cordoned_for": annotations.get(CORDONED_FOR, ""),
    }


def renewed_at(lease: t.Mapping[str, t.Any]) -> float:
    """When a Lease object was renewed last, in seconds since 1970; 0 when it never was."""
    written = lease["spec"].get("renewTime")
    if not written:
        return 0.0
    return datetime.strptime(str(written)[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def ready_nodes(
    nodes: t.Iterable[t.Mapping[str, t.Any]],
    leases: t.Iterable[t.Mapping[str, t.Any]] | None = None,
    now: float | None = None,
    taking_pods: bool = False,
) -> list[str]:
    """The names of those Node objects that are Ready; with leases, and whose kubelets renew these."""
    if (leases is None) != (now is None):
        raise ValueError("leases are judged by the time when they were read")
    renewed = {lease["metadata"]["name"]: renewed_at(lease) for lease in leases or ()}
    return [
        node["metadata"]["name"]
        for node in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
        and (now is None or now - renewed.get(node["metadata"]["name"], 0.0) < NODE_LEASE_SECONDS)
        and not (taking_pods and node["spec"].get("unschedulable"))
    ]


def pod_tunnels(nodes: t.Iterable[t.Mapping[str, t.Any]], without: str = "") -> list[dict[str, str]]:
    """The ends of the pod network's tunnels, on all of these Node objects but one."""
    found = {node["metadata"]["name"]: (node["metadata"].get("annotations") or {}).get(TUNNEL) or "" for node in nodes}
    return [{"name": name, "address": address} for name, address in found.items() if address and name != without]


def controllers_work(leases: t.Mapping[str, float], now: float) -> bool:
    """Whether the controller manager and the scheduler have leaders, who renew their leases every few seconds."""
    return all(now - leases.get(name, 0) < LEADERLESS_SECONDS for name in ("kube-controller-manager", "kube-scheduler"))


def parse_addons(text: str) -> dict[str, bool]:
    """Addon -> enabled, from `microk8s status --format short`. The repository's name is dropped."""
    addons: dict[str, bool] = {}
    for line in text.partition("addons:\n")[2].splitlines():
        name, colon, state = line.strip().partition(": ")
        if colon and state in ("enabled", "disabled"):
            name = name.rpartition("/")[2]
            addons[name] = addons.get(name, False) or state == "enabled"
    if not addons:
        # Said with exit code 0 by a worker, a stopped node, and up to 1.27 by a node that is not ready.
        raise Microk8sError(f"microk8s status lists no addons: {text.strip()!r}")
    return addons


def parse_members(text: str) -> list[dict[str, str]]:
    """The members of the datastore in `microk8s status --format yaml`: address and role (voter, standby or spare).

    The only place that says who votes: cluster.yaml lags behind, and has one that left for as long as nobody starts.
    """
    block = re.search(r"^high-availability:\n((?:[ \t]+.*\n?)+)", text, re.MULTILINE)
    found = re.findall(
        r"^\s*-\s*address:\s*['\"]?([^\s'\"]+)['\"]?\s*\n\s*role:\s*['\"]?([\w-]+)",
        block[1] if block else "",
        re.MULTILINE,
    )
    if not found:
        raise Microk8sError(f"microk8s status names no members of the datastore: {text.strip()[:300]!r}")
    return [{"address": address, "role": role} for address, role in found]


def backup_faults(
    entries: t.Mapping[str, t.Mapping[str, int]], keys: t.Mapping[str, str], wanted: t.Iterable[str]
) -> list[str]:
    """What is wrong with a backup: one pair of files an entry, N.key with the name of the key and N.data.

    `entries` has the sizes of the files by stem and ending, `keys` the name of the key by stem.
    """
    faults = []
    halves = sorted(stem for stem, files in entries.items() if set(files) != {"key", "data"})
    if halves:
        faults.append(f"{len(halves)} of {len(entries)} entries have only one half, such as {halves[0]}")
    whole = {keys[stem] for stem, files in entries.items() if files.get("data") and stem in keys}
    missing = [key for key in wanted if key not in whole]
    if missing:
        faults.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in it")
    return faults


def shown_addons(deployments: t.Iterable[t.Mapping[str, t.Any]], helm: bool) -> dict[str, bool]:
    """The addons that are enabled for certain: those by whose objects and files MicroK8s itself tells it."""
    there = {item["name"] for item in deployments if item["namespace"] == "kube-system"}
    found = {name: True for name, deployment in ADDON_DEPLOYMENTS.items() if deployment in there}
    return {**found, **({"helm3": True} if helm else {})}


def parse_dns_servers(corefile: str) -> list[str]:
    """Whom CoreDNS asks for names outside the cluster; empty when it asks the node's own servers, or nobody."""
    found = re.search(r"^\s*forward \. ([^{\n]+)", corefile, re.MULTILINE)
    return [word for word in found[1].split() if not word.startswith("/")] if found else []


def missing_nodes(
    nodes: t.Iterable[t.Mapping[str, t.Any]], wanted: t.Iterable[str], version: str = "", renewed_after: float = 0.0
) -> list[str]:
    """Those of the wanted nodes that are not Ready, not at a version that begins so, or not heard of since then."""
    ready = {
        node["name"]
        for node in nodes
        if node["ready"] and str(node["version"]).lstrip("v").startswith(version) and node["renewed"] >= renewed_after
    }
    return [name.lower() for name in wanted if name.lower() not in ready]


def is_same_machine(here: t.Mapping[str, t.Any], node: t.Mapping[str, t.Any]) -> bool | None:
    """Whether a Node object is this machine's, by what tells machines apart; None when nothing can be compared.

    The id of the boot is the surest sign, but machines that share a kernel share it. Ids that were copied with a disk
    are told by a kubelet that was heard of long after this machine's start, and has another boot.
    """
    mine = here.get("identity") or {}
    known = [
        str(mine[name]).lower() == str(node[name]).lower()
        for name in ("machine_id", "system_uuid")
        if mine.get(name) and node.get(name)
    ]
    if not all(known):
        return False
    boots = (mine.get("boot_id"), node.get("boot_id"))
    if all(boots):
        if boots[0] == boots[1]:
            return True
        settled = float(mine.get("booted", 0)) + BOOT_SETTLES_SECONDS
        if node["ready"] and float(node.get("renewed", 0)) > settled > BOOT_SETTLES_SECONDS:
            return False
    return True if known else None


def own_node(
    here: t.Mapping[str, t.Any], nodes: t.Iterable[t.Mapping[str, t.Any]], address: str = "", member: bool = False
) -> t.Mapping[str, t.Any] | None:
    """The Node object of this machine: by the machine's identity, whatever name and address it is registered under.

    Where that cannot be compared, `member` says that the machine is in this very cluster, and then one under its name
    or one of its addresses is its own; otherwise only one under both. One under both is a member's own in any case.
    """
    mine = {address, *here.get("addresses", [])} - {""}
    found = []
    for node in nodes:
        same = is_same_machine(here, node)
        named = node["name"] == here["name"]
        placed = bool(mine.intersection(node["addresses"]))
        if same is None:
            same = (named or placed) if member else (named and placed)
        # Its marks may have been given anew since its kubelet told them; nobody else has name, address and authority.
        same = same or (member and named and placed)
        if same:
            boot = node.get("boot_id")
            this_boot = bool(boot) and boot == (here.get("identity") or {}).get("boot_id")
            # Copies share all but the boot; before that is known anew, the one with its name is its own.
            found.append(((this_boot, named, placed, bool(node["ready"])), node))
    return max(found, key=lambda item: item[0])[1] if found else None


def node_of(there: t.Mapping[str, t.Any], here: t.Mapping[str, t.Any], address: str = "") -> dict[str, t.Any]:
    """The Node object of a machine in the seed's cluster; empty while the cluster does not know the machine.

    `here` and `there` are what microk8s_info returned for the machine and for the seed, with the cluster's nodes.
    """
    if not here or "name" not in here:
        return {}
    authority = (here.get("membership") or {}).get("ca")
    member = authority is not None and authority == (there.get("membership") or {}).get("ca")
    return dict(own_node(here, there.get("nodes") or [], address, member=member) or {})


def may_revert(
    here: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any], worker: bool, alone: bool, waited: t.Mapping[str, t.Any]
) -> bool:
    """Whether a node may go back to the revision it had `before` a refresh, and has another one now.

    A control plane that goes back forgets what its cluster did since: only one that is `alone`, and whose new API
    server never answered, neither now (`here`) nor while it was `waited` for. What was not looked at counts as an
    answer.
    """
    if here["snap"]["revision"] == before["revision"]:
        return False
    if worker:
        return True
    answered = (waited.get("api") or {}).get("answered", True) or here["api"]["answered"]
    return bool(alone and not answered)


def address_of(host: str, variables: t.Mapping[str, t.Any]) -> str:
    """A machine's address in the site's network, as the inventory has it."""
    for name in ("microk8s_address", "ansible_host"):
        if name in variables:
            return str(variables[name])
    return host


def absent_nodes(there: t.Mapping[str, t.Any], machines: t.Iterable[tuple[t.Mapping[str, t.Any], str]]) -> list[str]:
    """The names of nodes of the seed's cluster that are none of these machines, each with its address."""
    present = {node_of(there, here, address).get("name") for here, address in machines}
    return [node["name"] for node in there["nodes"] if node["name"] not in present]


def copies(mine: t.Mapping[str, str], others: t.Mapping[str, t.Mapping[str, str]]) -> list[str]:
    """Those of the others that have a machine's id and UUID: one disk was copied. Without an id nothing is known."""
    marks = [mine.get(name, "") for name in ("machine_id", "system_uuid")]
    return [
        host
        for host, other in others.items()
        if marks[0] and marks == [other.get(name, "") for name in ("machine_id", "system_uuid")]
    ]


def without_watch_events(
    watches: t.Mapping[str, t.Mapping[str, t.Any]],
    nodes: t.Iterable[t.Mapping[str, t.Any]],
    addresses: t.Mapping[str, str],
) -> list[str]:
    """The control planes that deliver no watch events, each with the reason.

    watches are what microk8s_watch_probe returned for each, or why it could not be asked. One that the cluster itself
    calls not Ready serves no one.
    """
    away = {address for node in nodes if not node["ready"] for address in node["addresses"]}
    return [
        f"{host}: {watch.get('reason') or watch.get('msg', 'not reached')}"
        for host, watch in watches.items()
        if not watch.get("delivered") and addresses[host] not in away
    ]


class _Decision(t.NamedTuple):
    """What has to happen so that a machine is in the cluster: an action of `join_plan`, and why."""

    action: str
    reason: str
    remove: str = ""
    half: bool = False


def join_plan(
    here: t.Mapping[str, t.Any],
    there: t.Mapping[str, t.Any],
    is_seed: bool,
    address: str,
    role: str,
    minor: int,
) -> dict[str, t.Any]:
    """What has to happen so that this node is in the seed's cluster.

    `here` and `there` are what microk8s_info returned for this machine and for the seed, with the cluster's nodes.
    The result's `action` is one of
      none    it is in the cluster, and Ready;
      tidy    so it is, but the join was cut short at its very end: the locks it leaves are not right;
      wait    it is in the cluster, but not Ready now; with `half`, waiting may be in vain and `repair` is next;
      join    it is in no cluster, and may join; `remove` then names a Node object left by its former installation;
      repair  it is in this cluster by half, and joins again;
      refuse  `reason` says why only a person may decide.
    `node` is the name of its Node object, `note` what is unusual about that.
    A Node object is only ever removed for the machine that is asked itself and does not run it any more: removing
    it for any other machine makes Kubernetes start its pods elsewhere while they may still run there (P1).
    """
    # Before 1.23 there is no worker role: every join makes a control plane.
    wanted = "control_plane" if minor < 23 else role
    node: t.Mapping[str, t.Any] | None = None
    decision = _stopped_by_hand(here) or (_seed_trouble(here, there) if is_seed else _without_nodes(here, there))
    if decision is None and is_seed:
        node = own_node(here, there.get("nodes", []), address, member=True)
        decision = _Decision("none", "the seed")
    elif decision is None:
        member = _has_its_authority(here, there)
        node = own_node(here, there["nodes"], address, member=member)
        conflict = _conflict(here, there, node, address, member=member)
        if conflict:
            decision = _Decision("refuse", conflict)
        elif member:
            decision = _of_member(here, there, node, address, wanted)
        else:
            decision = _of_newcomer(here, node, address)
    return {
        **decision._asdict(),
        "node": str(node["name"]) if node else "",
        "note": _unusual(node, str(here["name"]), address) if node else "",
    }


def _unusual(node: t.Mapping[str, t.Any], name: str, address: str) -> str:
    """How the registration of a machine differs from its name and address; empty when it does not."""
    if node["name"] != name:
        return f"it is registered as {node['name']}, not as {name}"
    if address not in node["addresses"]:
        return f"it is registered under {', '.join(node['addresses']) or 'no address'}, not under {address}"
    return ""


def _stopped_by_hand(here: t.Mapping[str, t.Any]) -> _Decision | None:
    """The refusal to start what a person has stopped."""
    name = here["name"]
    if not here["membership"]["stopped"] and not (here["snap"] or {}).get("disabled"):
        return None
    return _Decision(
        "refuse",
        f"MicroK8s is stopped on {name}. That was done by hand, so it is not started here. If it may run again, "
        f"run on {name}: microk8s start",
    )


def _seed_trouble(here: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> _Decision | None:
    """Why the seed, which is this machine, cannot have the cluster."""
    name, state = here["name"], here["membership"]["state"]
    if state == "worker":
        return _Decision(
            "refuse", f"{name} is the seed of the cluster, but it is a worker of another one. Let it leave."
        )
    if state != "absent" and not there["api"]["ready"]:
        return _Decision("refuse", f"The API of the seed {name} does not answer: {there['api']['reason']}")
    return None


def _has_its_authority(here: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> bool:
    """Whether a machine has the certificate authority of the seed."""
    authority = here["membership"]["ca"]
    return authority is not None and authority == there["membership"]["ca"]


def _without_nodes(here: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> _Decision | None:
    """What is decided before the cluster is asked for its nodes: the seed takes none in, or has nothing to ask yet."""
    mine, theirs = here["membership"], there["membership"]
    name, seed = here["name"], there["name"]
    if theirs["stopped"]:
        return _Decision("refuse", f"MicroK8s is stopped on the seed {seed}, so nothing is known of the cluster.")
    if theirs["state"] == "worker":
        return _Decision("refuse", f"The seed {seed} is a worker, so it cannot take nodes in.")
    joined = mine["state"] in ("worker", "control_plane") and mine["ca"] is not None
    if joined and not _has_its_authority(here, there):
        return _Decision(
            "refuse",
            f"{name} belongs to another cluster (certificate authority {mine['ca'][:12]}, servers "
            f"{', '.join(mine['servers']) or 'unknown'}), not to that of {seed}. Drain it there and let it "
            "leave (tasks_from leave of this role), then run again.",
        )
    if theirs["state"] == "absent":
        return _Decision("join", "the seed itself is not installed yet")
    if not there["api"]["ready"]:
        return _Decision("refuse", f"The API of the seed {seed} does not answer: {there['api']['reason']}")
    return None


def _of_newcomer(here: t.Mapping[str, t.Any], node: t.Mapping[str, t.Any] | None, address: str) -> _Decision:
    """What to do with a machine that is in no cluster; node is what its former installation has left."""
    # What is certainly this machine's, but neither its name nor its address, is left to a person.
    if node is None or not (node["name"] == here["name"] or address in node["addresses"]):
        return _Decision("join", "not in the cluster")
    if not {address, *here.get("addresses", [])}.intersection(node["addresses"]):
        # `remove-node` takes the address of the object out of the datastore, whoever has it now.
        return _Decision("refuse", _moved_or_copied(node))
    if node["ready"]:
        return _Decision(
            "join", "its former installation's Node object looks Ready until its lease ends", remove=node["name"]
        )
    return _Decision("join", "the cluster still has a Node object of its former installation", remove=node["name"])


def _moved_or_copied(node: t.Mapping[str, t.Any]) -> str:
    """What a person has to find out of a node that has the marks of a machine, but none of its addresses."""
    where = ", ".join(node["addresses"]) or "no address"
    moved = (
        "run again in a minute" if node["ready"] else f"run on the seed: microk8s kubectl delete node {node['name']}"
    )
    return (
        f"The cluster has a node {node['name']} ({where}) with the name and the machine id of this machine, "
        "which has none of these addresses: one disk may have been copied to both, and the other machine may "
        "still run its pods. If so, give this one a host name (hostnamectl set-hostname NAME) and a machine id "
        "of its own (rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; reboot). Only if "
        f"it is this machine that has moved to another address, {moved}"
    )


def _of_member(
    here: t.Mapping[str, t.Any],
    there: t.Mapping[str, t.Any],
    node: t.Mapping[str, t.Any] | None,
    address: str,
    wanted: str,
) -> _Decision:
    """What to do with a machine that has the cluster's certificate authority, and is to have the wanted role."""
    state = here["membership"]["state"]
    half = state == "single" or here["membership"]["half_joined"]
    if state not in ("single", wanted):
        return _Decision(
            "refuse", f"{here['name']} is a {state} of this cluster, but is to be a {wanted}. Let it leave first."
        )
    if node is None:
        return _of_unregistered(here, there, address, half)
    if not node["ready"]:
        return _Decision("wait", "in the cluster, but not Ready now", half=half)
    if half:
        return _Decision("tidy", "it is in the cluster and Ready, but its join was cut short", half=half)
    return _Decision("none", "in the cluster and Ready")


def _of_unregistered(here: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any], address: str, half: bool) -> _Decision:
    """What to do with a member of which the cluster has no Node object; half says that its join did not end."""
    name, state, servers = here["name"], here["membership"]["state"], here["membership"]["servers"]
    # One that left keeps the authority, so that this alone does not make it one of the cluster.
    apart = servers and not (set(servers) - {LOOPBACK}).intersection(there["membership"]["servers"])
    if state == "control_plane" and apart:
        return _Decision(
            "refuse",
            f"{name} has the certificate authority of this cluster, but a datastore of its own "
            f"({', '.join(servers)}): it left, or leaving was cut short. If nothing on it is needed, run on "
            f"{name}: snap remove --purge microk8s. Then run this again.",
        )
    if half:
        return _Decision("repair", "an earlier join did not end")
    # To join again would take a control plane that is well out of the datastore first.
    unknown = [
        str(item["name"])
        for item in there["nodes"]
        if item["ready"] and item["name"] != there["name"] and is_same_machine(here, item) is None
    ]
    if unknown:
        return _Decision(
            "refuse",
            f"{name} is a {state} of this cluster, but none of its nodes has that name or the address {address}. "
            f"It may be {' or '.join(unknown)} under another name: compare on {name} cat /etc/machine-id with "
            "microk8s kubectl get nodes -o custom-columns=NAME:.metadata.name,ID:.status.nodeInfo.machineID on "
            f"{there['name']}.",
        )
    return _Decision("repair", "the cluster does not know it any more")


def _conflict(
    here: t.Mapping[str, t.Any],
    there: t.Mapping[str, t.Any],
    node: t.Mapping[str, t.Any] | None,
    address: str,
    member: bool,
) -> str:
    """Why another machine's Node object stands in the way, or an empty text. One that runs is never to be removed."""
    name = here["name"]
    for other in there["nodes"]:
        if node is not None and other["name"] == node["name"]:
            continue
        named = other["name"] == name
        if not named and address not in other["addresses"]:
            continue
        what = f"the name {name}" if named else f"the address {address}"
        where = ", ".join(other["addresses"]) or "no address"
        if member and node is not None and not other["ready"] and is_same_machine(here, other):
            return (
                f"This machine is the node {node['name']} of the cluster now, and {other['name']} ({where}), which is "
                "not Ready, is what it was before: both have its machine id. Run on the seed: microk8s kubectl delete "
                f"node {other['name']}"
            )
        if other["ready"]:
            remedy = (
                "That node is Ready: it runs, and its pods may sign. Give one of the two another "
                + ("host name (hostnamectl set-hostname NAME)" if named else "address (microk8s_address)")
                + ", or a machine id of its own if one was copied from the other (compare /etc/machine-id of both). If "
                "this machine was installed anew, run again once that node is not Ready."
            )
        else:
            # With --force `remove-node` takes the address of the object out of the datastore, whoever has it now.
            used = {address, *here.get("addresses", [])} if member else set()
            used |= {item for one in there["nodes"] if one["ready"] for item in one["addresses"]}
            if used.intersection(other["addresses"]):
                command = f"kubectl delete node {other['name']}"
            else:
                command = f"remove-node {other['name']}{' --force' if not other.get('worker') else ''}"
            remedy = (
                "That node is not Ready, but the machine may still run its pods. Only if it is this machine's former "
                f"self, or is switched off for good, run on the seed: microk8s {command}"
            )
        return (
            f"The cluster has a node {other['name']} ({where}) that has {what} of this machine and may be another "
            f"machine. {remedy}"
        )
    return ""


class Files:
    """The files of one MicroK8s node, and what they say of its membership in a cluster."""

    def __init__(self, snap_data: Path = SNAP_DATA) -> None:
        self.data = snap_data

    def text(self, path: str) -> str | None:
        """A file's text, or None when there is no such file. Any other trouble is the caller's to report."""
        try:
            return (self.data / path).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def lock(self, name: str) -> bool:
        return (self.data / "var/lock" / name).exists()

    def dqlite_members(self) -> list[str]:
        text = self.text("var/kubernetes/backend/cluster.yaml") or ""
        return sorted(re.findall(r"^\s*-?\s*Address:\s*['\"]?([^\s'\"]+):\d+", text, re.MULTILINE))

    def proxied_servers(self) -> list[str]:
        """Whom a worker's API proxy talks to."""
        text = self.text("args/traefik/provider.yaml") or ""
        return sorted(set(re.findall(r"address:\s*['\"]?([\d.]+):\d+", text)))

    def argument(self, daemon: str, name: str) -> str | None:
        found = re.findall(rf"^\s*{re.escape(name)}[=\s]+(\S+)", self.text(f"args/{daemon}") or "", re.MULTILINE)
        return found[-1].strip("\"'") if found else None

    def launch_file(self) -> bool:
        return (self.data.parent / "common/.microk8s.yaml").exists()

    def node_name(self, hostname: str) -> str:
        """The name under which the kubelet registers: the host's, unless its arguments give another."""
        return (self.argument("kubelet", "--hostname-override") or hostname).strip().lower()

    def helm(self) -> bool:
        """Whether helm3 is there: in the snap from 1.25 on, before that where its addon puts it."""
        snap = self.data.parents[3] / "snap/microk8s/current"
        return (snap / "bin/helm").exists() or (self.data / "bin/helm3").exists()

    def membership(self) -> dict[str, t.Any]:
        """Where this node belongs.

        `state` is `single` (in no cluster but its own), `control_plane` or `worker`; `half_joined` is a join that
        began and did not end. A join takes over the cluster's CA first and sets no-cert-reissue last; a worker's
        sets clustered.lock in between. Half of a control plane's join can only be seen by comparing `ca` with the
        seed's, which the role does.
        """
        worker = self.lock("clustered.lock")
        remote_ca = self.text("certs/ca.remote.crt")
        own_ca = self.text("certs/ca.crt")
        members = self.dqlite_members()
        clustered = self.lock("no-cert-reissue") or len(members) > 1
        half = self.lock("join-in-progress")
        if worker:
            state, half = "worker", half or remote_ca is None or not self.lock("no-cert-reissue")
        else:
            state = "control_plane" if clustered else "single"
            half = half or (remote_ca is not None and not clustered)
        ca = remote_ca if worker or (half and remote_ca) else own_ca
        return {
            "state": state,
            "half_joined": half,
            "ca": fingerprint(ca) if ca else None,
            "servers": self.proxied_servers() if state == "worker" else members,
            "stopped": self.lock("stopped.lock"),
        }

    def certificates(self, now: datetime) -> list[dict[str, t.Any]]:
        """Every certificate the node uses, with the days it still has; the one that ends first comes first."""
        found = [(path, path.read_text(encoding="utf-8")) for path in sorted(self.data.glob("certs/*.crt"))]
        backend = self.data / "var/kubernetes/backend/cluster.crt"
        if backend.exists():
            found.append((backend, backend.read_text(encoding="utf-8")))
        for path in sorted(self.data.glob("credentials/*.config")):
            found += [(path, pem) for pem in certificates_in_kubeconfig(path.read_text(encoding="utf-8"))]
        result = []
        for path, pem in found:
            name = str(path.relative_to(self.data))
            if self.lock("clustered.lock") and name not in USED_BY_WORKERS:
                continue
            try:
                expires = certificate_expiry(pem)
            except Microk8sError as exc:
                raise Microk8sError(f"{path}: {exc}") from exc
            result.append(
                {
                    "name": name,
                    "expires": expires.isoformat(),
                    "days_left": (expires - now).days,
                }
            )
        return sorted(result, key=lambda item: (item["days_left"], item["name"]))
