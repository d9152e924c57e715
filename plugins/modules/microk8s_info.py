#!/usr/bin/python
# Copyright (c) 2026, eth2xk8s maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microk8s_info
short_description: Read the state of a MicroK8s node
version_added: 0.1.0
description:
  - Reads what one machine knows of its MicroK8s, and on request what the cluster's API says of its nodes and addons.
  - Never changes anything, and works on a machine that has neither snapd nor MicroK8s.
  - MicroK8s' exit codes are not believed, since many of its commands exit 0 on a worker or on a stopped node.
  - Run it as root, since the files are not readable for others.
author:
  - eth2xk8s maintainers (@eth2xk8s)
extends_documentation_fragment:
  - eth2xk8s.staking.attributes
options:
  cluster:
    description:
      - Whether to ask the cluster's API through this node, which must be a control plane.
      - An API that does not answer is reported in RV(api), not a failure of the module.
    type: bool
    default: false
  addons:
    description:
      - Addons of which to say whether they are enabled, without their repository. Needs O(cluster).
      - C(microk8s status), which takes seconds, is asked only when the quicker signs do not show all of them.
    type: list
    elements: str
    default: []
  dns:
    description: Whether to ask which name servers the cluster's DNS asks. Needs O(cluster).
    type: bool
    default: false
  wait_for:
    description:
      - Nodes that must be in the cluster and Ready, by name. Needs O(cluster).
      - An empty list waits for the API alone.
    type: list
    elements: str
    default: []
  wait_machine:
    description:
      - What RV(identity) said of a machine that must be in the cluster and Ready, whatever name it is registered under.
        Needs O(cluster).
    type: dict
    default: {}
  wait_version:
    description: The start of the version that O(wait_for) must run as well, such as V(1.36.).
    type: str
    default: ""
  wait_renewed_after:
    description:
      - When O(wait_for) must have renewed their leases as well, in seconds since 1970 by their own clocks.
      - A cluster calls a node Ready for most of a minute after its kubelet has ended.
    type: float
    default: 0
  wait_addons:
    description: Whether all of O(addons) must be enabled.
    type: bool
    default: false
  wait_controllers:
    description:
      - Whether the controller manager and the scheduler must each have a leader. Needs O(cluster).
      - For a minute after a control plane was restarted they have none, and no pod that ends gets a successor.
    type: bool
    default: false
  wait_deployments:
    description: Deployments that must be available, as namespace/name. Needs O(cluster).
    type: list
    elements: str
    default: []
  wait_seconds:
    description:
      - How long to wait for the API, for what the options before name, and for MicroK8s to say which addons it has.
      - When the time is over the module returns what it last saw.
      - There is no waiting for what cannot come by itself - MicroK8s that is absent, stopped or a worker.
    type: int
    default: 0
  datastore:
    description:
      - Whether to ask C(microk8s status) who votes in the datastore, which takes seconds. Needs O(cluster).
    type: bool
    default: false
  sudo:
    description: Whether to try what C(sudo -E) does on this machine.
    type: bool
    default: false
  offered_in:
    description:
      - A channel, such as V(1.36/stable), of which to ask the store what revision it holds. The snaps that MicroK8s
        runs on are asked for in the channels that they follow.
    type: str
  files:
    description: Content by path of files that should be there, owned by root, with mode 0644.
    type: dict
    default: {}
  units:
    description: systemd units to ask about.
    type: list
    elements: str
    default: []
  venv:
    description: A virtual environment in which to look for the Python package C(kubernetes).
    type: path
"""

EXAMPLES = r"""
- name: Read this machine's MicroK8s
  eth2xk8s.staking.microk8s_info:
  register: node

- name: Wait at most two minutes until both nodes are Ready
  eth2xk8s.staking.microk8s_info:
    cluster: true
    wait_for: [master, worker]
    wait_seconds: 120
  register: cluster
  delegate_to: master
"""

RETURN = r"""
differing:
  description: Those of O(files) that are not there, or differ in content, owner, group or mode.
  returned: success
  type: list
  elements: str
  sample: []
units:
  description: Of each of O(units), whether it is active, and its UnitFileState (empty when there is none).
  returned: success
  type: dict
  sample: {"eth2xk8s-certificates.timer": {"active": true, "file_state": "enabled"}}
snapd:
  description:
      - Whether snapd is there, its version, and whether it can hold refreshes.
      - The version is null where MicroK8s is held, since nothing depends on it there.
  returned: success
  type: dict
  sample: {"present": true, "version": "2.68", "can_hold": true}
snap:
  description:
    - The row of MicroK8s in C(snap list); null when it is not installed.
    - A hold that ends within a year does not count as C(held).
  returned: success
  type: dict
  sample:
    {"version": "v1.36.0", "revision": "8600", "channel": "1.36/stable",
     "notes": ["classic", "held"], "held": true, "disabled": false}
bases:
  description:
    - The rows of snapd and of every base in C(snap list), and with O(offered_in) the revision that the store offers.
    - A refresh of one of them restarts MicroK8s, although MicroK8s itself is held.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "core22", "revision": "2411", "channel": "latest/stable", "held": true, "offered_revision": 2417}]
offered_revision:
  description: The revision that the store offers in the channel; null when the store does not say.
  returned: when O(offered_in) is given
  type: int
  sample: 9024
membership:
  description:
    - Which cluster the node belongs to. C(state) is V(absent), V(single), V(control_plane) or V(worker).
    - C(ca) is the SHA-256 of the certificate authority of that cluster.
  returned: success
  type: dict
  sample: {"state": "worker", "half_joined": false, "ca": "5e1f…", "servers": ["172.20.10.11"], "stopped": false}
name:
  description: The name under which the kubelet registers this machine, C(--hostname-override) included.
  returned: success
  type: str
node_ip:
  description: The address under which the kubelet registers it (C(--node-ip)); null where it chooses by itself.
  returned: success
  type: str
identity:
  description:
    - What tells this machine from others, as its Node object has it as well.
    - C(booted) is when it was started, in seconds since 1970.
  returned: success
  type: dict
  sample:
    {"machine_id": "4f5a…", "system_uuid": "03d1…", "boot_id": "9b1c…", "booted": 1763800000.0}
addresses:
  description: The machine's own addresses; of IPv6 those that other machines can reach.
  returned: success
  type: list
  elements: str
authorization:
  description: The API server's authorization mode; null where there is no API server.
  returned: success
  type: str
certificates:
  description: Every certificate of the node, the first to end first.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "certs/server.crt", "expires": "2027-11-23T10:00:00+00:00", "days_left": 364}]
machine:
  description:
    - What decides which MicroK8s suits the machine, and its clock in seconds since 1970.
    - C(forgets_pod_networks) is whether each start of the machine removes what libcni kept of pods' networks.
  returned: success
  type: dict
  sample:
    {"cgroup": 2, "memory_mib": 4096, "default_route": true, "forgets_pod_networks": true, "time": 1763900000.0}
kubernetes_python:
  description: Versions of the Python package C(kubernetes) of the interpreter that runs modules, and in O(venv).
  returned: success
  type: dict
  sample: {"interpreter": "/usr/bin/python3", "system": "30.1.0", "venv": null}
launch_file:
  description: Whether a launch configuration lies there for the next installation, or still from the last one.
  returned: success
  type: bool
foreign_launch_files:
  description: Launch configurations that MicroK8s reads instead of the role's when it is installed.
  returned: success
  type: list
  elements: str
  sample: [/etc/microk8s.yaml]
sudo:
  description:
    - Which sudo this machine has, and whether C(sudo -E) hands the environment on; null where there is none.
  returned: when O(sudo) is true
  type: dict
  sample: {"version": "sudo-rs 0.2.15", "keeps_environment": false}
api:
  description:
    - Whether the cluster's API answered at last, and if not, why not.
    - C(answered) tells whether it did at any time of the waiting.
  returned: when O(cluster) is true
  type: dict
  sample: {"ready": true, "reason": "", "answered": true}
nodes:
  description:
    - The nodes of the cluster. C(ready) is true only while the kubelet renews its lease; C(reported_ready) is what the
      node's condition says.
  returned: when O(cluster) is true
  type: list
  elements: dict
  sample:
    - {"name": "worker", "addresses": ["172.20.10.12"], "ready": true, "reported_ready": true, "renewed": 1763900000.0,
       "machine_id": "4f5a…", "system_uuid": "03d1…", "boot_id": "9b1c…", "tunnel": "10.1.1.0", "worker": true,
       "version": "v1.36.3", "unschedulable": false, "cordoned_for": ""}
datastore:
  description:
    - The members of the datastore, each with its role (C(voter), C(standby) or C(spare)). The API stops when most of
      the voters are away, however many members there are. Null as long as MicroK8s does not say.
  returned: when O(datastore) is true and the API answered
  type: list
  elements: dict
  sample: [{"address": "172.20.10.11:19001", "role": "voter"}]
missing:
  description:
    - Those of O(wait_for) that are not in the cluster or not Ready. An empty name stands for the machine of
      O(wait_machine), where the cluster does not know it.
  returned: when O(cluster) is true
  type: list
  elements: str
namespaces:
  description: All namespaces.
  returned: when O(cluster) is true
  type: list
  elements: str
foreign_namespaces:
  description: Namespaces that Kubernetes did not make by itself.
  returned: when O(cluster) is true
  type: list
  elements: str
controllers:
  description: Whether controller manager and scheduler are at work, by the age of their leases.
  returned: when O(cluster) is true
  type: bool
deployments:
  description: Deployments, and whether all of their pods are available.
  returned: when O(cluster) is true
  type: list
  elements: dict
addons:
  description: Addon names, and whether they are enabled; null as long as MicroK8s does not say.
  returned: when O(addons) is not empty and the API answered
  type: dict
dns_servers:
  description: The name servers that the cluster's DNS asks; empty where it has none of MicroK8s' form.
  returned: when O(dns) is true and the API answered
  type: list
  elements: str
"""

import re
import socket
import sys
import time
import typing as t
from datetime import datetime, timezone
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.eth2xk8s.staking.plugins.module_utils.cluster._microk8s import (
    HOLD_SINCE,
    LAUNCH_FILES,
    Files,
    Microk8sError,
    controllers_work,
    missing_nodes,
    own_node,
    parse_addons,
    parse_bases,
    parse_dns_servers,
    parse_members,
    parse_nodes,
    parse_offered_revision,
    parse_snap_list,
    parse_snap_version,
    short_holds,
    shown_addons,
)
from ansible_collections.eth2xk8s.staking.plugins.module_utils.files._files import is_there
from ansible_collections.eth2xk8s.staking.plugins.module_utils.hosts._machine import differing, memory, read_units

MICROK8S = "/snap/bin/microk8s"
TMPFILES = Path("/etc/tmpfiles.d")
API_PORT = 16443
PAUSE_SECONDS = 2.0
MACHINE_ID = Path("/etc/machine-id")
SYSTEM_UUID = Path("/sys/class/dmi/id/product_uuid")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SNAPD_STATE = Path("/var/lib/snapd/state.json")
LANGUAGE = {"LANGUAGE": "C", "LC_ALL": "C"}


def run(module: AnsibleModule, *argv: str) -> tuple[int, str, str]:
    """Run a command in the C locale, by its absolute path where it is a snap's."""
    code, out, err = module.run_command(list(argv), environ_update=LANGUAGE)
    return code, out, err


Row = t.Dict[str, t.Any]


def read_snap(module: AnsibleModule) -> tuple[Row, Row | None, list[Row]]:
    """What snapd is, and what it says of MicroK8s and of the snaps that it runs on."""
    snap = module.get_bin_path("snap")
    if snap is None:
        return {"present": False, "version": None, "can_hold": False}, None, []
    code, out, err = run(module, snap, "list")
    if code != 0:
        raise Microk8sError(f"snap list failed, so what is installed is unknown: {err.strip() or out.strip()}")
    row, bases = parse_snap_list(out), parse_bases(out)
    # What is held for a time only is not held: the role does it for good.
    brief = short_holds(read_text(SNAPD_STATE) or "{}", datetime.now(timezone.utc))
    for name, held in [("microk8s", row), *((base["name"], base) for base in bases)]:
        if held and name in brief:
            held["held"] = False
    if row and row["held"]:
        return {"present": True, "version": None, "can_hold": True}, row, bases
    code, out, err = run(module, snap, "version")
    if code != 0:
        raise Microk8sError(f"snap version failed: {err.strip() or out.strip()}")
    version = parse_snap_version(out)
    return {"present": True, "version": "{}.{}".format(*version), "can_hold": version >= HOLD_SINCE}, row, bases


def read_offered(module: AnsibleModule, name: str, channel: str) -> int | None:
    """The revision in the channel. Without the store `snap info` succeeds all the same, and names no channels."""
    _code, out, _err = run(module, module.get_bin_path("snap", required=True), "info", name)
    return parse_offered_revision(out, channel)


def read_text(path: Path) -> str:
    """A line that a kernel or a firmware may not have; empty where it has none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def read_identity() -> dict[str, t.Any]:
    """What tells this machine from others, read where the kubelet reads it."""
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return {
        "machine_id": read_text(MACHINE_ID),
        "system_uuid": read_text(SYSTEM_UUID),
        "boot_id": read_text(BOOT_ID),
        "booted": time.time() - uptime,
    }


def read_sudo(module: AnsibleModule) -> dict[str, t.Any] | None:
    """What `sudo -E` really does: sudo-rs takes the option and drops it, and a policy may forbid it."""
    sudo = module.get_bin_path("sudo")
    if sudo is None:
        return None
    _code, version, _err = run(module, sudo, "--version")
    code, out, _err = module.run_command(
        [sudo, "-n", "-E", "printenv", "SNAP_DATA"], environ_update={**LANGUAGE, "SNAP_DATA": "/kept"}
    )
    return {
        "version": (version.splitlines() or [""])[0].strip(),
        "keeps_environment": code == 0 and out.strip() == "/kept",
    }


def read_machine() -> dict[str, t.Any]:
    """Facts that decide which MicroK8s may run here."""
    routes = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return {
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "memory_mib": memory(Path("/proc/meminfo").read_text(encoding="ascii")) // 1024**2,
        "default_route": any(line.split()[1] == "00000000" for line in routes if line.strip()),
        "forgets_pod_networks": any(
            re.search(
                r"^R!?\s+/var/lib/cni(/results)?\s", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE
            )
            for path in sorted(TMPFILES.glob("*.conf"))
        ),
        "time": time.time(),
    }


def read_addresses(module: AnsibleModule) -> list[str]:
    """The machine's own addresses, without a need for gathered facts; of IPv6 those that others can reach."""
    ip = module.get_bin_path("ip", required=True)
    code, out, err = run(module, ip, "-o", "address", "show")
    if code != 0:
        raise Microk8sError(f"ip address show failed: {err.strip()}")
    six = re.findall(r"\binet6 ([\da-f:.]+)/\d+ (?:.* )?scope global\b", out)
    return [*re.findall(r"\binet ([\d.]+)", out), *six]


def read_kubernetes_python(venv: str | None) -> dict[str, str | None]:
    """The version of the Python package for this interpreter and in a virtual environment, without importing it."""
    from importlib import metadata

    try:
        system: str | None = metadata.version("kubernetes")
    except metadata.PackageNotFoundError:
        system = None
    inside = None
    for info in Path(venv).glob("lib/python3*/site-packages/kubernetes-*.dist-info") if venv else ():
        if (Path(str(venv)) / "bin/python3").exists():
            inside = info.name[len("kubernetes-") : -len(".dist-info")]
    return {"interpreter": sys.executable, "system": system, "venv": inside}


def read_cluster(module: AnsibleModule) -> dict[str, t.Any]:
    """The API's word on nodes, namespaces and deployments. Not ready is an answer, not an error."""
    nothing: dict[str, t.Any] = {
        **{"nodes": [], "namespaces": [], "foreign_namespaces": [], "deployments": [], "leases": {}}
    }
    if not is_there(MICROK8S):
        return {"api": {"ready": False, "reason": "MicroK8s is not installed"}, **nothing}
    # kubectl's own limit: a sick API server may accept the connection and never answer.
    code, out, err = run(
        module,
        MICROK8S,
        "kubectl",
        "--request-timeout=10s",
        "get",
        "nodes,namespaces,deployments.apps,leases.coordination.k8s.io",
        "-A",
        "-o",
        "json",
    )
    if code == 0:
        try:
            return {"api": {"ready": True, "reason": ""}, **parse_nodes(out, time.time())}
        except Microk8sError as exc:
            # A worker answers with a sentence and exit code 0.
            return {"api": {"ready": False, "reason": out.strip()[:300] or str(exc)}, **nothing}
    return {"api": {"ready": False, "reason": (err.strip() or out.strip())[:300]}, **nothing}


def read_addons(module: AnsibleModule) -> dict[str, bool] | None:
    """Which addons are enabled; None as long as MicroK8s does not say."""
    _code, out, _err = run(module, MICROK8S, "status", "--format", "short", "--timeout", "30")
    try:
        return parse_addons(out)
    except Microk8sError:
        return None


def read_datastore(module: AnsibleModule) -> list[dict[str, str]] | None:
    """Who votes in the datastore; None as long as MicroK8s does not say."""
    _code, out, _err = run(module, MICROK8S, "status", "--format", "yaml", "--timeout", "30")
    try:
        return parse_members(out)
    except Microk8sError:
        return None


def read_dns(module: AnsibleModule) -> list[str]:
    """Whom the cluster's DNS asks; nobody while it is not there."""
    code, out, _unused = run(
        module,
        MICROK8S,
        "kubectl",
        "--request-timeout=10s",
        *("--namespace=kube-system", "get", "configmap", "coredns", "--output=jsonpath={.data.Corefile}"),
    )
    return parse_dns_servers(out) if code == 0 else []


def read_node(module: AnsibleModule) -> dict[str, t.Any]:
    """What this machine knows by itself."""
    files = Files()
    snapd, snap, bases = read_snap(module)
    installed = snap is not None
    hostname = socket.gethostname().lower()
    nowhere = {"state": "absent", "half_joined": False, "ca": None, "servers": [], "stopped": False}
    channel = module.params["offered_in"]
    if channel:
        for base in bases:
            base["offered_revision"] = read_offered(module, base["name"], base["channel"])
    return {
        **({"offered_revision": read_offered(module, "microk8s", channel) if installed else None} if channel else {}),
        **({"sudo": read_sudo(module)} if module.params["sudo"] else {}),
        "snapd": snapd,
        "snap": snap,
        "bases": bases,
        "membership": files.membership() if installed else nowhere,
        "certificates": files.certificates(datetime.now(timezone.utc)) if installed else [],
        "authorization": files.argument("kube-apiserver", "--authorization-mode") if installed else None,
        "name": files.node_name(hostname) if installed else hostname,
        "node_ip": files.argument("kubelet", "--node-ip") if installed else None,
        "identity": read_identity(),
        "addresses": read_addresses(module),
        "machine": read_machine(),
        "kubernetes_python": read_kubernetes_python(module.params["venv"]),
        "launch_file": files.launch_file(),
        "foreign_launch_files": [str(path) for path in LAUNCH_FILES[:-1] if is_there(str(path))],
    }


def look(module: AnsibleModule) -> tuple[dict[str, t.Any], bool]:
    """The cluster as it is now, and whether that is all that was to be waited for."""
    wanted = module.params
    seen = read_cluster(module)
    seen["missing"] = missing_nodes(
        seen["nodes"], wanted["wait_for"], wanted["wait_version"], wanted["wait_renewed_after"]
    )
    machine = wanted["wait_machine"]
    if machine:
        node = own_node({"name": "", "identity": machine}, seen["nodes"])
        found = missing_nodes(
            seen["nodes"], [node["name"] if node else ""], wanted["wait_version"], wanted["wait_renewed_after"]
        )
        seen["missing"] += found
    seen["controllers"] = controllers_work(seen.pop("leases"), time.time())
    available = {f"{item['namespace']}/{item['name']}" for item in seen["deployments"] if item["available"]}
    done = seen["api"]["ready"] and not seen["missing"] and available.issuperset(wanted["wait_deployments"])
    done = done and (seen["controllers"] or not wanted["wait_controllers"])
    # The slower questions only when the quick one has its answer.
    if done and wanted["addons"]:
        shown = shown_addons(seen["deployments"], Files().helm())
        seen["addons"] = shown if set(wanted["addons"]) <= set(shown) else read_addons(module)
        enabled = {name for name, state in (seen["addons"] or {}).items() if state}
        done = seen["addons"] is not None and (enabled.issuperset(wanted["addons"]) or not wanted["wait_addons"])
    if done and wanted["datastore"]:
        seen["datastore"] = read_datastore(module)
        done = seen["datastore"] is not None
    if done and wanted["dns"]:
        seen["dns_servers"] = read_dns(module)
    return seen, done


def rest(files: Files, deadline: float, answers: bool) -> None:
    """Leave a machine that is starting a cluster to its work: each question costs it a second of its processor.

    As long as nothing listens on the API's port, it is asked every ten seconds at most.
    """
    written = files.argument("kube-apiserver", "--secure-port") or ""
    port = int(written) if re.fullmatch("[0-9]{1,5}", written) and int(written) < 65536 else API_PORT
    now = time.monotonic()
    time.sleep(min(PAUSE_SECONDS, max(0.1, deadline - now)))
    while not answers and time.monotonic() < min(deadline, now + 10):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)


def main() -> None:
    """Read the machine, then, if asked, the cluster, as often as the time allows."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "bool", "default": False},
            "addons": names,
            "dns": {"type": "bool", "default": False},
            "wait_for": names,
            "wait_machine": {"type": "dict", "default": {}},
            "wait_version": {"type": "str", "default": ""},
            "wait_renewed_after": {"type": "float", "default": 0.0},
            "datastore": {"type": "bool", "default": False},
            "sudo": {"type": "bool", "default": False},
            "offered_in": {"type": "str"},
            "wait_addons": {"type": "bool", "default": False},
            "wait_controllers": {"type": "bool", "default": False},
            "wait_deployments": names,
            "wait_seconds": {"type": "int", "default": 0},
            "files": {"type": "dict", "default": {}},
            "units": names,
            "venv": {"type": "path"},
        },
        supports_check_mode=True,
    )
    deadline = time.monotonic() + module.params["wait_seconds"]
    answered = False
    try:
        result = read_node(module)
        result.update(differing=differing(module.params["files"]), units=read_units(module, module.params["units"]))
        snap, membership = result["snap"], result["membership"]
        hopeless = snap is None or snap["disabled"] or membership["stopped"] or membership["state"] == "worker"
        done = not module.params["cluster"]
        while not done:
            seen, done = look(module)
            answered = answered or seen["api"]["ready"]
            seen["api"]["answered"] = answered
            result.update(seen)
            if hopeless or time.monotonic() >= deadline:
                break
            if not done:
                rest(Files(), deadline, seen["api"]["ready"])
    except (Microk8sError, OSError) as exc:
        module.fail_json(msg=f"The state of MicroK8s on this machine could not be read: {exc}")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
