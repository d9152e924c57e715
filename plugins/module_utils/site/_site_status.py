# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it may change without notice.

"""The report of status.yml, out of what modules and roles have read; what was not read is a problem in its place."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import ready_nodes
from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._nodes import is_out_of_service
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._readings import Reading, below, wallets_not_read
from ansible_collections.eth2xk8s.staking.plugins.module_utils.history._holds import advice
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts import _fence
from ansible_collections.eth2xk8s.staking.plugins.module_utils.site._needs import merged

Report = t.Dict[str, t.Any]

#: Voters of the datastore that survive the loss of one.
VOTERS = 3
#: What expires a silent client of the NFS server before its lease has ended.
EXPIRES = "eth2xk8s-expire.service"
_UNREAD_LOCK: dict[str, t.Any] = {"state": "unknown", "addresses": [], "holder": ""}


def outlook(release: Reading, ahead: Reading) -> list[str]:
    """What of the release is not as Helm has it, what an emergency has set, and what the version will not follow."""
    found = []
    if "workloads" not in release:
        found.append(str(release.get("msg", "the release cannot be read")))
    for name, changes in below(release, "edited").items():
        found.append(f"{name} was edited by hand: {'; '.join(changes[:3])}")
    for name, changes in below(release, "unmerged").items():
        found.append(f"{name} is not as Helm has it: {'; '.join(changes[:3])}. Run site.yml")
    if not release.get("recorded", True):
        found.append("Helm has no record of what is there. Run site.yml")
    elif release.get("unfinished"):
        found.append(
            f"the release is {release.get('status')}: a run was cut off or failed. Run the same playbook again"
        )
    for program, arguments in below(release, "values", "emergency").items():
        if arguments:
            found.append(
                f"EMERGENCY: every {program} runs with {' '.join(arguments)}. Take it off with playbooks/flag.yml "
                f"-e prysm_emergency_flag=none -e prysm_emergency_on={program}"
            )
    because = below(release, "values", "standby").get("because")
    if because:
        found.append(f"no client has a standby: {because}")
    return [*found, *(ahead.get("problems") or [])]


def _fence_now(release: Reading, groups: Reading, machines: Reading) -> list[str]:
    """What stands against the fence, where two pods of a client rely on it."""
    values = below(release, "values")
    if not below(values, "standby").get("enabled"):
        return []
    server: Reading = {}
    silent: list[str] = []
    for host in groups.get("nfs") or []:
        server = below(machines, host, "fence", "server")
        read = below(machines, host)
        if read and not below(read, "fence", "watcher", "units", EXPIRES).get("active"):
            silent.append(
                f"{EXPIRES} does not run on {host}: a node that falls silent keeps its locks for the whole lease. Run "
                "site.yml"
            )
    nodes = [
        _fence.node_of(host, below(machines, host, "fence", "node", "texts")) for host in groups.get("microk8s") or []
    ]
    address = below(values, "nfs").get("serverIp") or ""
    found = _fence.reasons(_fence.server_of(server), nodes, [address] if address else [])
    return silent + [
        f"the lock between the two pods of each client is not proved to be a fence: {words}" for words in found
    ]


def _release(installed: Reading) -> Report:
    status = below(installed, "status")
    values = below(status, "values")
    return {
        "version": below(values, "image").get("version", ""),
        "network": values.get("network", ""),
        "state": status.get("status", "not installed"),
        "revision": status.get("revision", 0),
    }


def _machine(host: str, machine: Reading, problems: list[str]) -> Report:
    clock = below(machine, "clock")
    wrong = clock.get("problems", [f"not measured: {clock.get('msg', 'unreachable')}"])
    problems += [f"clock of {host}: {problem}" for problem in wrong]
    return {"name": host, "offset_seconds": clock.get("offset_seconds"), "clock_problems": wrong}


def _refreshes(host: str, node: Reading) -> list[str]:
    """Snaps that may refresh by themselves."""
    if not node.get("snap") or not below(node, "snapd").get("can_hold"):
        return []
    free = [] if node["snap"].get("held") else ["microk8s"]
    free += [base["name"] for base in node.get("bases") or [] if not base.get("held")]
    if not free:
        return []
    return [
        f"snapd may refresh {', '.join(free)} on {host} at any time, which restarts Kubernetes; run there: "
        f"snap refresh --hold {' '.join(free)}"
    ]


def _without_watch_events(host: str, watch: Reading) -> list[str]:
    """A control plane that delivers no watch events."""
    if watch.get("delivered", False) is not False or watch.get("skipped"):
        return []
    reason = watch.get("reason") or watch.get("msg") or "watches were not tried"
    return [f"control plane {host}: {reason}"]


def _certificates(host: str, machine: Reading, control_plane: bool, days: int, problems: list[str]) -> list[Reading]:
    node = below(machine, "node")
    found: list[Reading] = node.get("certificates") or []
    if "certificates" not in node:
        problems.append(f"certificates of {host} were not read: {node.get('msg', 'unreachable')}")
    else:
        problems += _refreshes(host, node)
    if control_plane:
        problems += _without_watch_events(host, below(machine, "watch"))
    problems += [
        f"certificate {one['name']} of {host} has {one['days_left']} days left; run site.yml, which renews what it can "
        "and names the rest"
        for one in found
        if one["days_left"] < days
    ]
    return found


def _execution(asked: t.Mapping[str, Reading], problems: list[str]) -> list[Report]:
    names = ("endpoint", "problem", "syncing", "block", "block_time")
    problems += merged(asked, "problems")
    return [
        {"from": host, **{name: one[name] for name in names}}
        for host, needs in asked.items()
        for one in needs.get("endpoints") or []
    ]


def _nodes(cluster: Reading, control_planes: t.Sequence[str], problems: list[str]) -> list[Report]:
    nodes = below(cluster, "nodes").get("resources") or []
    heard = ready_nodes(nodes, below(cluster, "leases").get("resources") or [], cluster.get("at", float("inf")))
    found = [
        {
            "name": node["metadata"]["name"],
            "ready": node["metadata"]["name"] in heard,
            "takes_pods": not node["spec"].get("unschedulable"),
            "out_of_service": is_out_of_service(node),
            "kubernetes": node["status"]["nodeInfo"]["kubeletVersion"],
        }
        for node in nodes
    ]
    command = f"run on {control_planes[0]}: microk8s kubectl" if control_planes else "run: kubectl"
    problems += [
        f"node {node['name']} is out of service since failover.yml; when it is back: playbooks/rejoin.yml -e "
        f"node={node['name']}"
        if node["out_of_service"]
        else f"node {node['name']} is not Ready; {command} describe node {node['name']}. If it is gone: "
        f"playbooks/failover.yml -e node={node['name']}"
        for node in found
        if node["out_of_service"] or not node["ready"]
    ]
    if not found:
        problems.append(f"the cluster cannot be read: {below(cluster, 'nodes').get('msg', 'no nodes')}")
    return found


def _voters(cluster: Reading, control_planes: int, problems: list[str]) -> list[str]:
    members = below(cluster, "votes").get("datastore") or []
    found = [member["address"] for member in members if member["role"] == "voter"]
    if control_planes >= VOTERS > len(found):
        problems.append(
            f"of {control_planes} control planes only {len(found)} vote in the datastore "
            f"({', '.join(found) or 'not read'}), so that the loss of one may stop the API"
        )
    return found


def _tunnels(cluster: Reading) -> list[str]:
    return [
        f"pods' network from {result['tunnel_host']} to {peer['name']}: {peer['reason']}; where it is slow on a kernel "
        "of 6.12 or later, run on both: ethtool --offload vxlan.calico tx-checksum-ip-generic off"
        for result in below(cluster, "tunnels").get("results") or []
        for peer in result.get("peers") or []
        if peer["reason"]
    ]


def _pods(pods: Reading) -> list[Report]:
    return [
        {
            "name": pod["metadata"]["name"],
            "node": pod["spec"].get("nodeName", ""),
            "phase": pod["status"]["phase"],
            "image": pod["spec"]["containers"][0]["image"],
            "restarts": sum(one["restartCount"] for one in pod["status"].get("containerStatuses") or []),
        }
        for pod in pods.get("resources") or []
    ]


def _beacon(name: str, seen: Reading, problems: list[str]) -> Report:
    found = {
        "name": name,
        "ready": seen.get("ready", False),
        "problem": seen.get("problem", seen.get("msg", "")) if seen else "not read",
        "version": seen.get("version", ""),
        "slot": seen.get("slot"),
        "node": seen.get("node", ""),
    }
    if not found["ready"]:
        problems.append(f"{name}: {found['problem']}")
    return found


def _key(pubkey: str, seen: Reading, signed: Reading) -> Report:
    duty = below(seen, "keys", pubkey)
    return {
        "pubkey": pubkey,
        "status": duty.get("status"),
        "last_attested_slot": duty.get("last_attested_slot"),
        "missing": duty.get("missing", "not read"),
        "waits": below(seen, "waiting").get(pubkey, ""),
        "highest_slot": signed.get("highest_slot"),
        "highest_source": signed.get("highest_source"),
        "highest_target": signed.get("highest_target"),
        "blacklisted": signed.get("blacklisted", False),
    }


def _client(client: Reading, storage: Reading, seen: Reading, standby: bool, problems: list[str]) -> Report:
    name: str = client["name"]
    history = below(storage, "histories", name, "keys")
    hold: str = below(storage, "holds").get(name) or ""
    lock = below(storage, "locks", "locks").get(client["database"], _UNREAD_LOCK)
    keys = [_key(key, seen, below(history, key)) for key in below(storage, "wallets").get(name) or []]
    problems += [f"{name}: Prysm refuses all duties of {key['pubkey'][:12]}" for key in keys if key["blacklisted"]]
    if not seen.get("proved"):
        reasons = ", ".join(dict.fromkeys(key["missing"] for key in keys if key["missing"]))
        problems.append(f"{name}: {seen.get('problem') or reasons or 'duties were not read'}")
    if hold:
        problems.append(f"{name} is on hold: {hold}. {advice(hold)}")
    elif standby and seen.get("proved") and not seen.get("standby"):
        problems.append(f"{name} has no standby now: no pod of it waits for its lock on another node")
    return {
        "name": name,
        "performs_duties": seen.get("proved", False),
        "problem": seen.get("problem", "not read"),
        "version": seen.get("version", ""),
        "node": seen.get("node", ""),
        "standby": seen.get("standby", ""),
        "restarts": seen.get("restarts", 0),
        "lock": lock["state"],
        "lock_holders": lock["addresses"],
        "hold": hold,
        "keys": keys,
    }


def _keys(storage: Reading) -> list[str]:
    if storage.get("refused"):
        return [f"KEYS: {storage['refused']}"]
    return wallets_not_read(storage)


def site_status(readings: Reading, clients: t.Iterable[Reading]) -> Report:
    """The report. What is wrong is in `problems`, in sentences; what is only worth knowing, in `notes`."""
    groups, machines = below(readings, "groups"), below(readings, "machines")
    cluster, prysm, storage = (below(readings, part) for part in ("cluster", "prysm", "storage"))
    nodes, control_planes = groups.get("microk8s") or [], groups.get("control_plane") or []
    problems = outlook(below(prysm, "release"), below(prysm, "ahead"))
    days = int(readings.get("certificate_days", 30))
    report: Report = {
        "release": _release(below(prysm, "installed")),
        "machines": [_machine(host, below(machines, host), problems) for host in groups["site"]],
        "certificates": {
            host: _certificates(host, below(machines, host), host in control_planes, days, problems) for host in nodes
        },
    }
    askers = nodes or groups.get("helm_client") or []
    asked = {host: below(machines, host, "needs") for host in askers if below(machines, host, "needs")}
    report["execution"] = _execution(asked, problems)
    report["notes"] = merged(asked, "notes")
    if askers and not below(machines, askers[0], "inventory").get("secret_readable", True):
        problems.append("the execution clients were not asked: the JWT secret cannot be read")
    report["nodes"] = _nodes(cluster, control_planes, problems)
    report["voters"] = _voters(cluster, len(control_planes), problems)
    problems += _tunnels(cluster)
    report["pods"] = _pods(below(prysm, "pods"))
    beacons = below(prysm, "beacons") or {"beacon": {}}
    report["beacons"] = [_beacon(name, below(beacons, name), problems) for name in beacons]
    seen = below(prysm, "duties", "clients")
    standby = bool(below(prysm, "release", "values", "standby").get("enabled"))
    report["clients"] = [_client(one, storage, below(seen, one["name"]), standby, problems) for one in clients]
    problems += _fence_now(below(prysm, "release"), groups, machines)
    if readings.get("left_out"):
        report["left_out"] = list(readings["left_out"])
    return {**report, "problems": [_one_line(problem) for problem in problems + _keys(storage)]}


def _one_line(problem: str) -> str:
    """A problem, without what Ansible puts before the words of a module or of SSH, and on one line of the list."""
    return " ".join(re.sub(r"\bTask failed: (?:Module failed: )?", "", problem).split())
